"""Set-up without IP: how an unclaimed NSU gets name, addresses and first administrator, in Ethernet frames."""
