mod hostile_networks;
mod networks;
