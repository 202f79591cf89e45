"""How commands meet what is not as they need it."""

import socket

import pytest
import typer

from trasos_assets.commands.terminal import require_free_port

LOOPBACK = "127.0.0.1"


def test_a_port_that_somebody_listens_on_ends_the_command_and_says_how_to_go_on(capsys) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(typer.Exit) as ended:
            require_free_port(LOOPBACK, port)
    assert ended.value.exit_code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"cannot listen on {LOOPBACK}:{port}" in said
    assert "--port" in said
    require_free_port(LOOPBACK, port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", f"{'a' * 70}.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_ends_the_command(host, capsys) -> None:
    with pytest.raises(typer.Exit):
        require_free_port(host, 3000)
    assert f"cannot listen on {host}:3000" in " ".join(capsys.readouterr().err.split())
