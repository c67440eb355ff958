"""The command: open a run, say where its page is, and serve it."""

import socket
from ipaddress import ip_address

from workshop.cli.commands import Explore
from workshop.cli.explore.session import Session
from workshop.cli.runs import open_run, read_options
from workshop.cli.tables import say
from workshop.generative_models.core.configuration import COMPONENT_CONFIGS
from workshop.generative_models.core.files import holder
from workshop.generative_models.models.restoring import checkpoint_steps
from workshop.generative_models.models.saving import WEIGHTS_FILE


def explore(options: Explore) -> None:
    """Serve the page of a run until Ctrl-C."""
    run, host = options.run, options.host
    content, trained = read_options(run, options.data)
    try:
        from workshop.cli.explore.page.app import Explorer, serve
    except ModuleNotFoundError as error:
        if error.name != "nicegui":
            raise
        raise ImportError(
            "workshop explore needs NiceGUI: pip install 'workshop-vae[explore]'"
        ) from None
    port = free_port(host, options.port)

    def open_session() -> Session | None:
        # A run that still trains shows its curves until it has its model.
        trains = holder(run) is not None or not checkpoint_steps(run)
        if trains and not (run / WEIGHTS_FILE).is_file():
            return None
        model, dataset, _ = open_run(run, options.data)
        session = Session(model, dataset)
        session.warm_up()
        return session

    given = {name: content["config"].get(name) for name in COMPONENT_CONFIGS}
    kinds = ", ".join(f"{name} {part['kind']}" for name, part in given.items() if part)
    model = f"{content['model']} with {kinds}" if kinds else content["model"]
    title = f"{model} on {options.data or trained['data']}"
    explorer = Explorer(run.resolve(), title, open_session, binarize=trained["binarize"])
    if explorer.session is None:
        say(f"{run} holds no model yet: the page shows its training until then")
    local = is_loopback(host)
    if not local:
        say(
            f"! --host {host}: whoever reaches this machine there sees the data and uses the "
            "model; without --host only this machine does"
        )
    say(f"http://{f'[{host}]' if ':' in host else host}:{port}   (Ctrl-C stops it)")
    serve(explorer, host, port, local=local, show=options.open)


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only.

    Examples:
        >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example")]
        [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """Return a port to listen at: the given one if it is free, or any free one for 0."""
    if not 0 <= port < 2**16:
        raise ValueError(f"--port {port}: expected 0 <= port < {2**16}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            return listener.getsockname()[1]
    except OSError as error:
        raise ValueError(
            f"--host {host} --port {port}: nothing can listen there ({error.strerror or error}); "
            "choose another --port, or 0 for any that is free"
        ) from None
