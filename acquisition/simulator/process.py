"""The simulator as a process of its own, which ends with the program that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Self

from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import source_id_query
from acquisition.simulator.outlets import run_simulator
from acquisition.simulator.streams import SimulatorOptions
from acquisition.types import MODALITY_OF_KIND, Kind

_RESOLVE_S = 0.5
_BEGUN = re.compile(r"[\d.]+ s: (\w+)")


class SimulatorProcess:
    """Simulated devices in a spawned process, which a ``with`` ends.

    Parameters
    ----------
    options : SimulatorOptions
    """

    def __init__(self, options: SimulatorOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self._options = options
        self._stop = context.Event()
        self._told, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_simulate, args=(options, self._stop, sender), name="simulator", daemon=True
        )
        self._process.start()
        sender.close()  # so that the end of the process ends the pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_found(self, timeout_s: float = 30.0) -> None:
        """Return when all streams answer on the network.

        Raises
        ------
        InputError
            If they do not within ``timeout_s``, or the process ends.
        """
        from pylsl import resolve_bypred

        from acquisition.clock import LslClock

        clock = LslClock()
        deadline = clock.now() + timeout_s
        missing = [spec.source_id for spec in self._options.specs().values()]
        while missing:
            missing = [
                source_id
                for source_id in missing
                if not resolve_bypred(source_id_query(source_id), 1, _RESOLVE_S)
            ]
            if missing and not self.running:
                raise InputError(
                    f"it ended with exit code {self._process.exitcode}",
                    where="simulator",
                    remedy="see `affectscope doctor`",
                    code=ErrorCode.NO_STREAM,
                )
            if missing and clock.now() > deadline:
                raise InputError(
                    f"its streams do not answer within {timeout_s:.0f} s",
                    where="simulator",
                    remedy="see `affectscope doctor`: a firewall may block LSL",
                    code=ErrorCode.NO_STREAM,
                )

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._process.is_alive()

    def close(self) -> None:
        """End it, by force where it does not react."""
        self._stop.set()
        self._process.join(3.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def tell(self, on_emotion: Callable[[str], None]) -> None:
        """Have a thread call ``on_emotion`` with every emotion (or ``rest``) the person shows."""

        def listen() -> None:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    if begun := _BEGUN.fullmatch(self._told.recv()):
                        on_emotion(begun[1])

        threading.Thread(target=listen, daemon=True).start()


def stream_choices(options: SimulatorOptions) -> str:
    """Return the ``--streams`` text that takes exactly the streams of these simulated devices."""
    specs = options.specs()
    chosen = []
    for kind in (*MODALITY_OF_KIND, Kind.MARKERS):
        found = [f"source_id:{spec.source_id}" for spec in specs.values() if spec.kind is kind]
        # What is not mentioned would be looked for by type, among everybody's streams.
        chosen.append(f"{MODALITY_OF_KIND.get(kind, 'markers')}={found[0] if found else 'none'}")
    return ",".join(chosen)


def refuse_second(options: SimulatorOptions) -> None:
    """Refuse to simulate a device that is being simulated already.

    Two streams with one ``source_id`` cannot be told apart by those who record or reconnect.

    Raises
    ------
    InputError
        If one of the streams answers on the network.
    """
    from pylsl import resolve_bypred

    # In brackets: liblsl puts "session_id='…' and" before it.
    query = "(" + " or ".join(source_id_query(spec.source_id) for spec in options.specs().values()) + ")"
    if found := resolve_bypred(query, 1, _RESOLVE_S):
        raise InputError(
            f"{found[0].name()} of person {options.seed} is published on {found[0].hostname()} already",
            where="simulate",
            remedy="choose another --seed, or tell them apart with --id-suffix b --name-prefix Other",
        )


def _simulate(options: SimulatorOptions, stop: Event, told: Connection) -> None:
    parent = multiprocessing.parent_process()

    def stopped() -> bool:
        # A parent that was killed can set no event.
        return stop.is_set() or (parent is not None and not parent.is_alive())

    def report(sentence: str) -> None:
        if not stopped():
            with contextlib.suppress(OSError):  # the parent may have gone since
                told.send(sentence)

    run_simulator(options, stopped, report)
