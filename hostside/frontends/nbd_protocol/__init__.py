"""The NBD protocol without I/O: fixed newstyle handshake and transmission phase.

The specification is doc/proto.md of NetworkBlockDevice/nbd; what stands in quotation marks here is from there.

Nothing here opens, reads or waits. `connection.Connection` is one client seen from the server: it says where
the next bytes go, takes note of them, and says what to send. The modules named client_* are the other side,
for `hostside.client`.

- `numbers`: magics, options, commands, flags, errors, limits
- `handshake_layout`: construct declarations of the handshake's messages
- `transmission_layout`: struct layouts of the transmission phase, and the replies
- `errors`: our exceptions, and the way from errno numbers to the eight errors that NBD knows
- `export`: what is said of a disk, made from what its server really does
- `handshake`, `client_handshake`: option haggling, from either side
- `connection`: one client of the server, from greeting to goodbye
- `transmission`: request headers to driver requests
- `checks`: the border; every request of a client is checked here, once
- `transaction`, and `incoming_write`, `large_read`, `zero_write`: requests that take more than one step
- `account`: what one client holds and is owed; every answer goes through here
- `outbox`: what is to be sent, and which slots are free once it was
- `client_transmission`: pieces out, replies in
"""
