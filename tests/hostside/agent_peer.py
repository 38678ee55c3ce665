"""The NSU's end of one data socket over TCP, for an agent that lives from its login to its end."""

import socket
import threading
from dataclasses import replace

from hostside.agent import PathOrder, run_agent
from hostside.wiring import Wiring
from protocol.limits import HEADER_BYTES
from protocol.path_login import V1Token, V2Token, parse_first, path_token, v1_login_answer, v2_login_answer
from tests.hostside.agent_rig import MARKER, PATH, Drive, make_life


class Nsu:
    """A data port for one socket: does the login as told, then serves a drive, in a thread."""

    def __init__(self, order: PathOrder, *, answer: bytes | None = None, requests_most: int | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.order = replace(order, port=self.listener.getsockname()[1])
        self.answer = answer
        self.requests_most = requests_most
        self.token: V1Token | V2Token | None = None
        self.drive = Drive(order.version)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        self.listener.settimeout(5)
        connected, _ = self.listener.accept()
        self.listener.close()
        with connected:
            connected.settimeout(5)
            first = b""
            while len(first) < HEADER_BYTES:
                first += connected.recv(HEADER_BYTES - len(first))
            self.token = parse_first(first)
            answer = good_answer(self.order) if self.answer is None else self.answer
            for at in range(0, len(answer), 100):  # in pieces: the agent must wait for all of it
                connected.sendall(answer[at : at + 100])
            if self.answer is not None:
                return
            served = 0
            while data := connected.recv(65536):
                for answer in self.drive.answers(data):
                    connected.sendall(answer)
                    served += 1
                    if served == self.requests_most:
                        return


def good_answer(order: PathOrder) -> bytes:
    if order.version == 1:
        return v1_login_answer(0)
    assert order.session_key is not None
    proof = path_token(order.session_key, b"server", order.session, order.path, order.nonce)
    return v2_login_answer(order.session, order.path, MARKER, proof)


def live(order: PathOrder, wiring: Wiring) -> tuple[int, str]:
    """Run an agent to its end; give its exit code and its last words."""
    code = run_agent(make_life(), order, wiring)
    return code, wiring.read_reason(PATH)
