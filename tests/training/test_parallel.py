"""Several processes: what they tell each other, and that they learn what one alone would."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from srcli.errors import (
    DataError,
    InferenceError,
    PeerError,
    RecipeError,
    SrxError,
    UsageError,
)
from srcli.recipes.training import (
    Adversarial,
    LossTerm,
    Optimizer,
    Schedule,
    Stage,
    TrainRecipe,
)
from srcli.training.loop import Trainer
from srcli.training.parallel import ALONE, Team, find_team, process_group
from srcli.training.steps import Numerics, StepContext, make_step
from tests.fixtures.trainings import Batches, Net, entries

TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "1",
}


def test_torchruns_variables_tell_the_place():
    assert find_team(TORCHRUN) == Team(
        connected=True, rank=3, local_rank=1, size=4, local_size=2
    )
    assert not find_team(TORCHRUN).orphaned
    assert replace(find_team(TORCHRUN), parent=1).orphaned
    assert find_team({}) is ALONE
    assert not replace(ALONE, parent=1).orphaned
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        incomplete = {key: value for key, value in TORCHRUN.items() if key != name}
        assert find_team(incomplete) is ALONE


def test_one_process_is_alone():
    assert find_team({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}) is ALONE
    with process_group(ALONE):
        assert not dist.is_initialized()


@pytest.fixture
def gloo(tmp_path):
    """A team over a real group, of one process."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    yield Team(connected=True)
    dist.destroy_process_group()


def test_the_first_process_tells_the_others_what_it_found(gloo):
    assert gloo.on_rank_zero(lambda: [1.5, "ü", None]) == [1.5, "ü", None]
    with pytest.raises(KeyboardInterrupt):
        gloo.on_rank_zero(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert gloo.on_all_ranks(lambda: 3) == 3


@pytest.mark.parametrize("length", [10, 12_000])
def test_a_failure_in_one_process_is_told_by_the_first(gloo, length):
    def fail():
        raise UsageError("ä" * length)

    with pytest.raises(UsageError, match="ä" * 10):
        gloo.on_all_ranks(fail)
    assert gloo.on_all_ranks(lambda: "again") == "again"


def test_a_process_that_is_gone_is_one_line(gloo, monkeypatch):
    def broken(tensor):
        raise RuntimeError(
            "[/a/pair.cc:5] Connection closed by peer. Good luck\nat line 12"
        )

    monkeypatch.setattr("torch.distributed.all_reduce", broken)
    with pytest.raises(
        InferenceError,
        match=r"another process .* has ended \(Connection .*peer\); .* --resume$",
    ):
        gloo.average([torch.zeros(1)])
    # one of two lines at most is shown
    for rank, error_type in ((1, InferenceError), (2, PeerError)):
        with pytest.raises(error_type):
            replace(gloo, rank=rank).average([torch.zeros(1)])


class Threads(Team):
    """A team of threads, each of which takes itself for a process."""

    _meeting: Meeting

    def __init__(self, rank, meeting):
        super().__init__(rank=rank, size=meeting.parties)
        object.__setattr__(self, "_meeting", meeting)

    def _exchange(self, value):
        boxes = self._meeting.boxes
        boxes[self.rank] = value
        self._meeting.wait(timeout=60)
        values = list(boxes)
        self._meeting.wait(timeout=60)
        return values

    def average(self, tensors):
        everyones = self._exchange([tensor.detach().clone() for tensor in tensors])
        for tensor, *parts in zip(tensors, *everyones, strict=True):
            tensor.detach().copy_(torch.stack(parts).mean(0))

    def broadcast(self, tensors):
        of_rank_zero = self._exchange([tensor.detach().clone() for tensor in tensors])[
            0
        ]
        for tensor, value in zip(tensors, of_rank_zero, strict=True):
            tensor.detach().copy_(value)

    def on_rank_zero(self, work):
        return copy.deepcopy(self.gather(work if self.rank == 0 else lambda: None)[0])

    def gather(self, work):
        result = error = None
        try:
            result = work()
        except SrxError as caught:
            error = caught
        outcomes = self._exchange((result, error))
        errors = [error for _, error in outcomes if error]
        if not errors:
            return [result for result, _ in outcomes]
        raise errors[0] if self.rank == 0 else PeerError


class Meeting(threading.Barrier):
    """Where threads exchange what they have."""

    def __init__(self, parties):
        super().__init__(parties)
        self.boxes = [None] * parties


STAGE = Stage(
    losses=(LossTerm(name="l1"), LossTerm(name="high-frequency", weight=0.5)),
    steps=8,
    batch=4,
    patch=8,
    optimizer=Optimizer(learning_rate=1e-2, clip_norm=0.05),
    schedule=Schedule(kind="cosine", warmup=0.2),
)
CPU = Numerics(device=torch.device("cpu"))
SGD = replace(STAGE, optimizer=Optimizer(kind="sgd", nesterov=True, learning_rate=0.1))
WIDTHS = {"widths": (4, 4, 4, 4, 6, 6, 6)}
AE = Adversarial(options={**WIDTHS, "decoder": (6, 4, 4)}, weight=0.5, balance_rate=0.5)
FC = Adversarial(discriminator="fc", options={**WIDTHS, "hidden": 5}, weight=0.5)
PATCH = Adversarial(discriminator="patch", options={"widths": (4, 6)}, weight=0.5)


def make(team, folder, stages, *, batches=None, seed=1, **options):
    folder.mkdir(exist_ok=True)
    return Trainer(
        context=StepContext(network=Net(seed), numerics=CPU, team=team),
        recipe=TrainRecipe(model="none", stages=stages, ema_decay=0.9),
        batch=(batches or Batches(team=team)).batch,
        folder=folder,
        **options,
    )


def in_processes(count, prepare):
    """Run trainers of a team, each in a thread; return them and what became of each."""
    meeting = Meeting(count)
    trainers = [prepare(Threads(rank, meeting)) for rank in range(count)]

    def run(trainer):
        try:
            return trainer.run()
        except SrxError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return trainers, list(pool.map(run, trainers))


def curve(folder):
    left_out = ("event", "elapsed", "per_second")
    return [
        {k: v for k, v in entry.items() if k not in left_out}
        for entry in entries(folder)
    ]


@pytest.mark.parametrize(
    "stages",
    [
        (STAGE, SGD),
        (STAGE, replace(STAGE, adversarial=AE)),
        (replace(STAGE, adversarial=FC),),
        (replace(STAGE, adversarial=PATCH),),
    ],
    ids=["supervised", "auto-encoder", "classifier", "classifier of patches"],
)
def test_several_processes_learn_what_one_with_the_whole_batch_does(
    tmp_path, monkeypatch, stages
):
    monkeypatch.setattr("srcli.training.loop.LOG_STEPS", 1)
    of_all = Batches()
    of_last = Batches()
    alone = make(ALONE, tmp_path / "one", stages, batches=of_all)
    alone.run()

    def prepare(team):
        of_last.team = team
        return make(
            team, tmp_path / "all", stages, batches=of_last if team.rank else None
        )

    trainers, ended = in_processes(2, prepare)
    assert ended == [True] * 2
    assert of_last.sizes == [2] * len(of_all.sizes)
    mine = curve(tmp_path / "one")
    theirs = curve(tmp_path / "all")
    assert len(mine) == len(of_all.sizes)
    for a, b in zip(mine, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-6)
    for trainer in trainers:
        for name, average in alone.ema.averages.items():
            torch.testing.assert_close(
                trainer.ema.averages[name], average, rtol=1e-3, atol=1e-5
            )
        for name, value in trainers[0].network.state_dict().items():
            assert torch.equal(value, trainer.network.state_dict()[name])


def test_the_first_alone_saves_and_talks_and_all_validate_and_end_by_its_clock(
    tmp_path,
):
    called: list[int] = []
    validated: tuple[list[float], ...] = ([], [])

    def prepare(team):
        def note(*arguments):
            called.append(team.rank)

        def validate(network):
            validated[team.rank].append(float(network.a.weight.detach().sum()))
            return {"held-out": [1.0]}

        stages = (replace(STAGE, steps=1), STAGE)
        options = {"validator": validate, "save": note, "log": note, "budget": "0.3s"}
        return make(team, tmp_path, stages, **options)

    trainers, ended = in_processes(2, prepare)
    assert ended == [True, True]
    assert set(called) == {0}
    assert len(validated[0]) > 1
    assert validated[0] == validated[1]  # of the same weights
    assert trainers[0].position.total == trainers[1].position.total > 0


def test_all_begin_from_the_weights_of_the_first(tmp_path):
    trainers, _ = in_processes(
        2, lambda team: make(team, tmp_path, (STAGE,), seed=team.rank)
    )
    assert torch.equal(trainers[0].network.a.weight, trainers[1].network.a.weight)
    assert torch.equal(
        trainers[0].ema.averages["a.weight"], trainers[1].ema.averages["a.weight"]
    )


def test_all_stop_when_one_of_them_is_told_to_and_go_on_together(tmp_path):
    stages = (STAGE, replace(STAGE, adversarial=AE))
    uninterrupted, _ = in_processes(
        2, lambda team: make(team, tmp_path / "whole", stages)
    )

    def stopping(team):
        asked = iter(range(100))
        return make(
            team, tmp_path / "part", stages, stop=lambda: next(asked) == 9 - team.rank
        )

    parts, ended = in_processes(2, stopping)
    assert ended == [False, False]
    assert [trainer.position.total for trainer in parts] == [9, 9]

    meeting = Meeting(2)
    # The folder may be on the disk of the first alone.
    folders = [tmp_path / "part", tmp_path / "none"]
    resumed = [make(Threads(rank, meeting), folders[rank], stages) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(Trainer.resume, resumed)) == [True, True]
        assert list(pool.map(Trainer.run, resumed)) == [True, True]
    for name, value in uninterrupted[0].network.state_dict().items():
        assert torch.equal(value, resumed[1].network.state_dict()[name])


def test_a_loss_that_is_lost_in_one_share_ends_all(tmp_path):
    _, (of_first, second) = in_processes(
        2,
        lambda team: make(
            team, tmp_path, (STAGE,), batches=Batches(spoil=7, team=team)
        ),
    )
    assert isinstance(of_first, InferenceError)
    assert isinstance(second, PeerError)
    assert not (tmp_path / "state.safetensors").exists()


def test_a_batch_that_cannot_be_divided_is_refused_and_its_stage_named():
    context = StepContext(network=Net(), numerics=CPU, team=Team(size=3))
    make_step(replace(STAGE, batch=6), context)
    with pytest.raises(
        RecipeError, match=r"batch of 4 .* 3 processes.*stages\.1\.batch"
    ):
        make_step(STAGE, context, 1)


@pytest.mark.slow
def test_a_failure_in_another_process_is_told_with_its_number(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    workers = [
        context.Process(
            target=_fail_in_the_second, args=(rank, str(tmp_path / "meet"), pipe)
        )
        for rank, (_, pipe) in enumerate(pipes)
    ]
    for worker in workers:
        worker.start()
    told = [receiving.recv() for receiving, _ in pipes]
    for worker in workers:
        worker.join(timeout=60)
    assert told[0] == ["InferenceError: process 1: no pictures", "result"]
    assert told[1][0].startswith("PeerError")
    assert told[1][1] == "result"


def _fail_in_the_second(rank, meeting, pipe):
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2
    )
    team = Team(connected=True, rank=rank, size=2)

    def work():
        if rank:
            raise DataError("no pictures")

    told = []
    try:
        team.on_all_ranks(work)
    except (InferenceError, PeerError) as error:
        told.append(f"{type(error).__name__}: {error}")
    told.append(team.on_rank_zero(lambda: "result"))
    pipe.send(told)
    dist.destroy_process_group()
