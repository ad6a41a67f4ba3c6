"""The epochs of a training of the towers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from homefeed.models.errors import ModelError
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training.course import Checkpoint, Course
from homefeed.models.retrieval.training.devices import Devices
from homefeed.models.retrieval.training.evaluation import Epoch, evaluate
from homefeed.models.retrieval.training.learner import Learner
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.shared import progress

EVAL_EVERY = 2  # Epochs.


@dataclasses.dataclass(frozen=True)
class Loop:
    """Trains epoch by epoch, evaluates every second one, and ends with the weights of the best.

    Attributes:
        model, learner: the model, and what changes it.
        training, evaluation: windows of the two splits.
        config: how many epochs and steps, and how long to wait for a better one.
        steps: of an epoch, but for a few.
        where: the devices. Of several workers the chief alone evaluates, decides and keeps.
        checkpoint: what is kept of each epoch.
    """

    model: TwoTower
    learner: Learner
    training: Windows
    evaluation: Windows
    config: Hyperparameters
    steps: int
    where: Devices
    checkpoint: Checkpoint

    def run(self, on_epoch: Callable[[Epoch], None]) -> None:
        """Trains; `on_epoch` is called with each row of the curve, also with those that an earlier process left.

        Raises:
            ModelError: the workers read different checkpoints.
        """
        random = np.random.default_rng(self.config.seed)
        course = self._begin(random)
        for row in course.rows:
            on_epoch(row)
        # Sums in another order may make another best epoch: one decides for all.
        while not self.where.from_chief(self._is_over(course)):
            self._epoch(course, random)
            if self.where.is_chief:
                on_epoch(course.rows[-1])
                self.checkpoint.save(course, self.learner, random)
        if course.best_weights is not None:
            self.model.set_weights(course.best_weights)

    def _begin(self, random: np.random.Generator) -> Course:
        """What an earlier process left, with `random` and the weights as they were, or nothing."""
        course, state = self.checkpoint.load(random)
        expected = self.where.from_chief(len(course.rows))
        if len(course.rows) != expected:
            raise ModelError(
                f"{self.checkpoint.path} holds {len(course.rows)} epochs for this worker and {expected:.0f} for the "
                "chief: let all workers write to one folder that they share"
            )
        if state:
            self.learner.build(next(self.training.epoch(np.random.default_rng(0), self.config.batch_size)))
            self.learner.restore(state)
        return course

    def _epoch(self, course: Course, random: np.random.Generator) -> None:
        epoch, config = len(course.rows), self.config
        if self.checkpoint.path is not None:
            self.learner.reseed(epoch)
        batches = self.training.epoch(random, config.batch_size, config.max_steps)
        losses = [self.learner.step(batch) for batch in progress.through(batches, self.steps, epoch, config.epochs)]
        loss = float(np.mean([loss.numpy() for loss in losses]))
        if not (self._is_evaluated(epoch) and self.where.is_chief):
            course.rows.append(Epoch.unmeasured(epoch, loss))
            return
        with self.learner.averaged():
            course.take(Epoch.of(epoch, loss, evaluate(self.model, self.evaluation)), self.model.get_weights())

    def _is_evaluated(self, epoch: int) -> bool:
        return epoch % EVAL_EVERY == EVAL_EVERY - 1 or epoch == self.config.epochs - 1

    def _is_over(self, course: Course) -> bool:
        last = len(course.rows) - 1
        if last < 0 or not self._is_evaluated(last):
            return False
        return last == self.config.epochs - 1 or last - course.best_epoch >= self.config.patience
