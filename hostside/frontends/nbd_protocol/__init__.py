"""The NBD protocol, sans I/O: newstyle fixed handshake and transmission phase, as doc/proto.md of
NetworkBlockDevice/nbd has it.

Nothing here opens, reads or waits. `connection.Connection` is one client seen from the server: it says
where the next bytes go, takes note of them, and says what to send. `client_handshake` and the reply layouts
serve `hostside.client`.

- `numbers`: magics, options, commands, flags, errors, limits
- `handshake_layout`: construct declarations of the handshake's messages
- `transmission_layout`: struct layouts of the transmission phase, and the replies
- `export`: what is said of a disk, made from what its server really does
- `errors`: errno numbers to the eight that NBD knows
- `handshake`, `client_handshake`: option haggling, from either side
- `checks`: the border; every request of a client is checked here, once
- `outbox`: what is to be sent, and which slots are free once it was
- `transactions`: requests that take more than one step
- `transmission`: request headers to driver requests to replies
- `connection`: one client, from greeting to goodbye
"""
