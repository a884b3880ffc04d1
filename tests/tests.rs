
mod networks;
