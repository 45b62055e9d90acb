"""A replay for a window: opens and looks through the file, then lets it play until told to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from acquisition.errors import InputError
from app.engine.health import model_info
from app.engine.messages import Opened, Phase
from app.engine.orders import OrderBox, Stopped
from app.engine.player import Player, damage_events, timeline_of
from app.engine.tap import Tap
from app.replay import ReplayFile
from app.request import ReplayRequest
from app.simulated_streams import simulated_streams


class ReplayEngine:
    """Runs a replay for a window.

    After `run` has opened the file, it plays, is ``paused``, or has come to the end and stays there
    (``ended``): orders are obeyed in each of these phases. A window seen a second time, after seeking
    back, gives the same prediction as the first time, unless a modality was masked in between or a
    baseline ended (which stays in force). Its ``warm_up`` differs where a stream has a gap 20 to 30 s
    before, since nothing older was read. Files get each prediction once, in order of time.

    Parameters
    ----------
    request : ReplayRequest
    tell : callable
        Sends news; used before the replay begins.
    orders : OrderBox
    tap : Tap
        Started; takes everything the replay has to show.
    """

    def __init__(
        self, request: ReplayRequest, tell: Callable[[object], None], orders: OrderBox, tap: Tap
    ) -> None:
        self._request, self._tell, self._orders, self._tap = request, tell, orders, tap

    def run(self) -> None:
        """Replay until told to stop.

        Raises
        ------
        InputError
            If the file, a stream in it, the model or an output file cannot be used.
        """
        request = self._request
        self._say_stage("loading the model")
        file = ReplayFile(request.path, request.options, request.start_s, request.stop_s, request.chunk)
        with contextlib.suppress(Stopped):
            player = self._opened(file)
            try:
                with contextlib.closing(player.sink):
                    player.run()
            except OSError as error:
                raise InputError(
                    f"cannot be read: {error.strerror or error}",
                    where=str(file.path),
                    remedy="see that its disk is there, and open it again",
                ) from error
            finally:
                player.close()

    def _opened(self, file: ReplayFile) -> Player:
        """Look through the file, tell the window what it will see and return what plays it."""
        model = model_info(file.checkpoint, file.options)
        said = -1

        def say_share(share: float) -> None:
            nonlocal said
            if int(share * 10) > said or self._orders.must_stop:
                said = int(share * 10)
                self._say_stage(f"looking through {file.path.name}: {share:.0%}")

        outline = file.look_through(say_share)
        player = Player(file, self._request.speed, self._orders, self._tap, model.device)
        timeline = timeline_of(outline, file.path, player.first, player.last)
        streams = simulated_streams(file.headers)
        self._tell(Opened("replay", model, timeline, bool(streams.simulated), streams.real))
        if file.notice:
            player.say(file.notice)
        for event in damage_events(outline, player.first):
            player.telemetry.on_event(event)
        return player

    def _say_stage(self, message: str) -> None:
        """Tell the window, and go no further when it wants to stop."""
        if self._orders.must_stop:
            raise Stopped
        self._tell(Phase("loading", message, self._request.speed))
