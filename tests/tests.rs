mod networks;
