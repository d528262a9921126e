"""What each caller of a batch asked for, what becomes of it, and what each is told in the end."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from services.kernel.faults import Fault, request_id_reused
from services.sequence_file.domain.changes import FileChange, What
from services.sequence_file.domain.content import Taken
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Apply, Caller, Outcome, Request
from services.sequence_file.storage.log import Log, Made


@dataclass(slots=True)
class Change:
    """One caller's change of one file, waiting for its turn."""

    apply: Apply
    caller: Caller
    future: "Future[Outcome]" = field(default_factory=Future)  # cancelled by a caller that gave up before its turn

    def refuse(self, error: Exception) -> None:
        """Answer with an error, unless the caller is gone or answered."""
        if self.future.done():
            return
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


@dataclass(slots=True)
class _Applied:
    """A change that is in the draft."""

    caller: Caller
    outcome: Outcome
    taken: Taken
    position: int  # among those of the batch that changed something

    def told(self, file: str, etag: str) -> Outcome:
        """The outcome, with the etag of the file as it is now."""
        outcome = self.outcome
        if not outcome.sequences:
            return outcome
        sequences = tuple(replace(each, etag=etag if each.file == file else each.etag) for each in outcome.sequences)
        return replace(outcome, sequences=sequences)


class Answers:
    """The changes of one batch on one draft."""

    def __init__(self, draft: Draft, log: Log) -> None:
        self.applied = 0  # changes that were made, or found to be there already
        self.requested = False  # whether any of them has a request id
        self._revisions = 0
        self._draft = draft
        self._log = log
        self._made: list[_Applied] = []  # those that go into the log
        self._by_request: dict[str, tuple[Request, _Applied]] = {}
        self._give: list[Callable[[int, str], None]] = []  # given the batch's first revision

    @property
    def changed(self) -> bool:
        """Whether any change changes anything."""
        return self._revisions > 0

    def add(self, change: Change) -> None:
        """Apply one change to the draft, or find the answer that its request got before."""
        request = change.caller.request
        try:
            if request and (before := self._answered(change, request)):
                self._give.append(before)
                return
            outcome = change.apply(self._draft)
        except Fault as fault:
            self._draft.take_back()
            refused = fault  # this change alone fails
            self._give.append(lambda _, __: change.future.set_exception(refused))
            return
        self.applied += 1
        made = _Applied(change.caller, outcome, self._draft.take(), self._revisions)
        self._revisions += made.taken.changed
        if request:
            self.requested = True
            self._by_request[request.id] = (request, made)
        if request or made.taken.changed:
            self._made.append(made)
        self._give.append(self._answer(change, made))

    def made(self, sequence_id: str, before: str, after: Document | None) -> tuple[Made, ...]:
        """What goes into the log; `after` is the finished document, None where nothing changed."""
        return tuple(
            Made(
                author=each.caller.author,
                request=each.caller.request,
                outcome=each.told(self._draft.base.file, after.etag if after else before),
                summary=each.taken.summary,
                files=(
                    FileChange(
                        file=after.file,
                        sequence_id=sequence_id,
                        what=What.UPDATED,
                        before=before,
                        after=after.etag,
                        shots=each.taken.shots,
                        complete=each.taken.complete,
                    ),
                )
                if after and each.taken.changed
                else (),
            )
            for each in self._made
        )

    def give(self, revision: int, etag: str) -> None:
        """Tell everybody. `revision`: the first one of the batch, 0 where nothing changed; `etag`: of the file."""
        for each in self._give:
            each(revision, etag)

    def _answered(self, change: Change, request: Request) -> Callable[[int, str], None] | None:
        if seen := self._by_request.get(request.id):
            if seen[0].fingerprint != request.fingerprint:
                raise request_id_reused()
            return self._answer(change, seen[1])
        outcome = self._log.answer(request)
        return None if outcome is None else lambda _, __: change.future.set_result(outcome)

    def _answer(self, change: Change, made: _Applied) -> Callable[[int, str], None]:
        def give(first: int, etag: str) -> None:
            number = first + made.position if first and made.taken.changed else 0
            change.future.set_result(replace(made.told(self._draft.base.file, etag), revision=number))

        return give
