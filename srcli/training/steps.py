"""One iteration of a training: numerics, losses against HR, a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.errors import RecipeError, UsageError
from srcli.layers.network import lay_out
from srcli.losses import WeightedLoss, texture
from srcli.models.discriminators import build_discriminator
from srcli.recipes.training import Adversarial, Optimizer, Stage
from srcli.threads import hold_setting
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    prefixed,
    rate_factor,
    restore_optimizer,
    without_prefix,
)
from srcli.training.parallel import ALONE, Team, average_values

if TYPE_CHECKING:
    from srcli.layers.network import Network

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """Settings that change speed and rounding of a training, and methods that apply them."""

    device: torch.device
    autocast: torch.dtype | None = None
    """Half precision of the network's forward pass; None for fp32."""
    channels_last: bool = False
    compile: bool = False
    graphs: bool = False
    """Run the network's passes as CUDA graphs, see ``as_cuda_graphs``."""
    threads: int = 0
    """Threads of the processor that the training computes with; 0 on a GPU."""

    @property
    def precision(self) -> str:
        """Number format of the forward pass: ``fp32``, or PyTorch's name of another."""
        if self.autocast is None:
            return "fp32"
        return str(self.autocast).removeprefix("torch.")

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of weights and pictures."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def placed(self, network: Module) -> Module:
        """Move a network to the device and into the layout."""
        network = network.to(self.device)
        lay_out(network, self.layout)
        return network

    def arranged(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Bring a batch into the layout; HR is only compared, and need not be channels_last."""
        if not self.channels_last:
            hr_image = hr_image.contiguous()
        return lr_image.contiguous(memory_format=self.layout), hr_image

    @contextmanager
    def fast_kernels(self) -> Iterator[None]:
        """Let a GPU multiply in TF32 and choose kernels by trials during a step.

        Validations in between enlarge exactly, and pictures of many sizes: they must
        have neither.
        """
        if self.device.type != "cuda":
            yield
            return
        with (
            hold_setting(torch.backends.cuda.matmul, "allow_tf32", True),
            hold_setting(torch.backends.cudnn, "allow_tf32", True),
            hold_setting(torch.backends.cudnn, "benchmark", True),
        ):
            yield

    def autocasting(self) -> torch.autocast:
        """Return the autocast context of a forward pass."""
        half = self.autocast
        return torch.autocast(
            self.device.type,
            half,
            enabled=half is not None,
            cache_enabled=not self.graphs,
        )


def _compile(network: Network) -> Callable[[Tensor], Tensor]:
    """Return a network that is compiled when it first runs; UsageError if that fails."""
    compiled = torch.compile(network)

    def run(x: Tensor) -> Tensor:
        try:
            out: Tensor = compiled(x)
        except torch._dynamo.exc.TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            if len(lines) > 1 and lines[0].endswith(" raised:"):
                del lines[0]  # which names the compiler that has failed
            reason = lines[0] if lines else type(error).__name__
            raise UsageError(
                f"--compile: PyTorch's compiler fails ({reason[:150]}); it needs a C++ "
                "compiler on processors and Triton on GPUs. Leave --compile out, or install "
                "them"
            ) from error
        return out

    return run


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Network and settings that the steps of all stages of a training share."""

    network: Network
    """On the device of ``numerics``."""
    numerics: Numerics
    seed: int = 0
    """Seed of the weights that a step makes itself, such as a discriminator's."""
    team: Team = ALONE
    """The processes that train together; all of them make the same calls."""

    @cached_property
    def forward(self) -> Callable[[Tensor], Tensor]:
        """The network, its compiled form, or its passes as CUDA graphs."""
        if self.numerics.compile:
            return _compile(self.network)
        # Code of users may do more in Python than a graph repeats.
        if not self.numerics.graphs or self.network.origin:
            return self.network
        for module in self.network.modules():
            # Graphs are recorded after trial passes, which would count in statistics of
            # batches.
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                return self.network
        return as_cuda_graphs(self.network)


def as_cuda_graphs(network: Network) -> Callable[[Tensor], Tensor]:
    """Return a function that runs a network, with gradients, as one CUDA graph per shape.

    Small networks start so many short kernels that a GPU waits for Python three
    quarters of the time. The output lies in memory that the next call overwrites.
    """
    # The passes that were recorded ran on another stream; PyTorch waits for it, and
    # warns.
    graph = torch.autograd.graph
    if hasattr(graph, "set_warn_on_accumulate_grad_stream_mismatch"):  # PyTorch 2.11
        graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    graphs: dict[torch.Size, Any] = {}

    def run(x: Tensor) -> Tensor:
        if x.shape not in graphs:
            # the call changes the module's "forward"
            passes = nn.Sequential(network).train()
            graphs[x.shape] = torch.cuda.make_graphed_callables(
                passes, (x.clone(),), allow_unused_input=True
            )
        out: Tensor = graphs[x.shape](x)
        return out

    return run


class SupervisedStep:
    """Trains a network during one stage by its losses; called with one batch at a time."""

    best_by_psnr = True
    """True if validation decides which weights are the best; else the last ones are."""

    def __init__(self, stage: Stage, context: StepContext) -> None:
        self.stage = stage
        self.numerics = context.numerics
        self.team = context.team
        self.losses = WeightedLoss(stage.losses).to(self.numerics.device)
        self.optimizer = make_optimizer(context.network, stage.optimizer)
        self._forward = context.forward

    def __call__(
        self, lr_image: Tensor, hr_image: Tensor, done: float
    ) -> dict[str, Tensor]:
        """Change the weights by one batch; return scalars for log and progress.

        The batch is LR (N, C, P, P) and HR (N, C, sP, sP) in [0, 1], or a little
        beyond; of several processes, each has its share. ``done`` is the fraction of
        the stage that is done, for the learning rate. The first scalar is ``loss``; on
        a GPU they may not be computed yet.
        """
        count = self.stage.accumulate
        losses = []
        for lr_part, hr_part in zip(
            lr_image.chunk(count), hr_image.chunk(count), strict=True
        ):
            _, loss = self.predict(lr_part, hr_part)
            (loss / count).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        self._apply(self.optimizer, self.stage.optimizer, done)
        return average_values(self.team, {"loss": torch.stack(losses).mean()})

    def predict(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return SR (N, C, sP, sP) in fp32 and its loss, a scalar; both carry gradients."""
        with self.numerics.autocasting():
            sr_image = self._forward(lr_image)
        sr_image = sr_image.float()
        return sr_image, self.losses(sr_image, hr_image, lr_image)

    def _apply(
        self, optimizer: torch.optim.Optimizer, settings: Optimizer, done: float
    ) -> None:
        """Change weights by the gradients that were computed."""
        rate = settings.learning_rate * rate_factor(self.stage.schedule, done)
        apply_gradients(
            optimizer, rate=rate, clip_norm=settings.clip_norm, team=self.team
        )

    def state(self) -> dict[str, Tensor]:
        """Return all that an exact resume needs, apart from the network and its averages."""
        return prefixed("optimizer.", optimizer_tensors(self.optimizer))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` returned."""
        restore_optimizer(self.optimizer, without_prefix(tensors, "optimizer."))


class AdversarialStep(SupervisedStep):
    """Trains network and discriminator on the same batch, as BEGAN does (Berthelot et al. 2017).

    Both see the discriminator as it was before the iteration, so that it runs over the
    network's output only once. Every stage begins with a new discriminator.

    An auto-encoder has BEGAN's losses: l(v) is mean |D(v) - v|, and k_t holds both
    networks in balance: L_D = l(HR) - k_t l(SR), with k_{t+1} = clip(k_t + rate * s, 0, 1) for the
    surplus s = gamma l(HR) - L_G. The measure M = l(HR) + |s| falls while both networks
    get better. L_G, the generator's whole loss, is what the text of the attentive GAN
    has; BEGAN itself has l(SR) there. Other discriminators have binary
    cross-entropy of logits.
    """

    # texture costs PSNR: the best by it would be the pre-trained network
    best_by_psnr = False

    def __init__(
        self, stage: Stage, settings: Adversarial, context: StepContext
    ) -> None:
        super().__init__(stage, context)
        self.settings = settings
        scale = context.network.scale
        size = stage.patch_edge(scale) * scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            network = build_discriminator(
                settings.discriminator, size=size, options=settings.options
            )
        self.discriminator = self.numerics.placed(network)
        self.sees_lr = network.input_channels == 6
        self._discriminator_weights = [
            p for p in self.discriminator.parameters() if p.requires_grad
        ]
        self.is_began = settings.discriminator == "ae"
        self.balance = torch.tensor(
            float(settings.balance_start), device=self.numerics.device
        )
        """k_t of BEGAN."""
        jitter = settings.jitter
        if jitter and settings.discriminator == "fc":
            raise RecipeError(
                "jitter: the discriminator 'fc' takes pictures of one size only"
            )
        if jitter and self._rounded_down(size - jitter) < self.discriminator.minimum:
            raise RecipeError(
                f"jitter={jitter} leaves nothing of patches of {size} output pixels"
            )
        self._discriminator_optimizer = make_optimizer(
            self.discriminator, settings.optimizer
        )
        self._seed = context.seed
        self._calls = 0

    def __call__(
        self, lr_image: Tensor, hr_image: Tensor, done: float
    ) -> dict[str, Tensor]:
        """Change network and discriminator by one batch; see ``SupervisedStep``."""
        sr_image, loss = self.predict(lr_image, hr_image)
        fake_image = sr_image.detach().requires_grad_()
        real = hr_image
        fake = fake_image
        if self.sees_lr:
            seen = F.interpolate(lr_image, hr_image.shape[2:])
            real = torch.cat([hr_image, seen], 1)
            fake = torch.cat([fake_image, seen], 1)
        real, fake = self._crop(real, fake)
        on_real = self._discriminate(real)
        on_fake = self._discriminate(fake)
        if self.is_began:
            l_real = (on_real - real).abs().mean()
            l_fake = (on_fake - fake).abs().mean()
            generator_term = l_fake
            discriminator_loss = l_real - self.balance * l_fake
        else:
            l_real = cross_entropy(on_real, 1.0)
            l_fake = cross_entropy(on_fake, 0.0)
            # The generator's is -log D(G(z)), which does not fade while the
            # discriminator is sure.
            generator_term = cross_entropy(on_fake, 1.0)
            discriminator_loss = l_real + l_fake
        weight = self.settings.weight
        if weight:
            # The gradient at the picture alone: the discriminator's weights stay out of
            # it.
            (gradient,) = torch.autograd.grad(
                generator_term, fake_image, retain_graph=True
            )
            if self.settings.textured:
                gradient = gradient * texture(hr_image)
            torch.autograd.backward([loss, sr_image], [None, weight * gradient])
        else:
            loss.backward()  # type: ignore[no-untyped-call]
        # Only as far as its weights lie: pictures, and features that stay as they are,
        # need none.
        discriminator_loss.backward(inputs=self._discriminator_weights)  # type: ignore[no-untyped-call]
        values = {
            "loss": loss.detach() + weight * generator_term.detach(),
            "l_real": l_real.detach(),
            "l_fake": l_fake.detach(),
        }
        values = average_values(self.team, values)
        if self.is_began:  # the balance follows the whole batch, on every rank alike
            settings = self.settings
            by_generator = settings.balance_on == "generator"
            quantity = values["loss"] if by_generator else values["l_fake"]
            surplus = settings.gamma * values["l_real"] - quantity
            # A new tensor: the log still holds the former one.
            self.balance = (self.balance + settings.balance_rate * surplus).clamp(0, 1)
            values["k_t"] = self.balance
            values["M"] = values["l_real"] + surplus.abs()
        self._apply(self.optimizer, self.stage.optimizer, done)
        self._apply(self._discriminator_optimizer, self.settings.optimizer, done)
        return values

    def state(self) -> dict[str, Tensor]:
        """Return the state of both optimisers, of the discriminator and of the balance.

        The second optimiser is the discriminator's; the names are those in checkpoints.
        """
        state = super().state()
        state |= prefixed("discriminator.", self.discriminator.state_dict())
        state |= prefixed("second.", optimizer_tensors(self._discriminator_optimizer))
        if self.is_began:
            state["adversarial_loss.balance"] = self.balance
        calls = torch.tensor(self._calls, device=self.numerics.device)
        state["jitter.calls"] = calls
        return state

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` returned."""
        super().restore(tensors)
        self.discriminator.load_state_dict(without_prefix(tensors, "discriminator."))
        restore_optimizer(
            self._discriminator_optimizer, without_prefix(tensors, "second.")
        )
        if self.is_began:
            self.balance = tensors["adversarial_loss.balance"].to(self.numerics.device)
        self._calls = int(tensors["jitter.calls"])

    def _crop(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Crop real and generated pictures at one place, drawn by seed and iteration."""
        self._calls += 1
        jitter = self.settings.jitter
        if not jitter:
            return real, fake
        random = torch.Generator().manual_seed(self._seed * 1_000_003 + self._calls)
        top, left = torch.randint(jitter + 1, (2,), generator=random).tolist()
        height, width = (
            self._rounded_down(length - jitter) for length in real.shape[2:]
        )
        rows = slice(top, top + height)
        columns = slice(left, left + width)
        return real[:, :, rows, columns], fake[:, :, rows, columns]

    def _rounded_down(self, length: int) -> int:
        """Return the longest side up to ``length`` that the discriminator takes."""
        multiple = self.discriminator.multiple_of
        return length // multiple * multiple

    def _discriminate(self, pictures: Tensor) -> Tensor:
        with self.numerics.autocasting():
            output: Tensor = self.discriminator(pictures)
        return output.float()


def cross_entropy(logits: Tensor, truth: float) -> Tensor:
    """Return the mean binary cross-entropy of logits; ``truth`` is 1 for real, 0 for fake."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def make_step(stage: Stage, context: StepContext, number: int = 0) -> SupervisedStep:
    """Return the step that a stage describes; ``number`` is the stage's, for messages."""
    network = context.network
    edge = stage.patch_edge(network.scale)
    if network.padded(edge) != edge:
        raise RecipeError(
            f"patches of {edge} pixels: this network takes sides that divide by "
            f"{network.multiple_of}, from {network.minimum} on; set stages.{number}.patch"
        )
    if stage.batch % (context.team.size * stage.accumulate):
        raise RecipeError(
            f"a batch of {stage.batch} cannot be divided among {context.team.size} processes and "
            f"accumulate={stage.accumulate} parts; change one (--set stages.{number}.batch=...)"
        )
    if stage.adversarial is None:
        return SupervisedStep(stage, context)
    return AdversarialStep(stage, stage.adversarial, context)
