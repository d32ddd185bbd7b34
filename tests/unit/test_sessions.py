import pytest

from lossgrid.surface import Session, seconds_of, sessions


def test_sessions_are_text_of_one_length() -> None:
    one = sessions.begin((), ranks=4, now=100.0)
    for kept in ((), one, sessions.end(one, seconds=12.5)):
        text = sessions.write(kept)
        assert len(text) == sessions.TEXT_BYTES
        assert sessions.read(text) == kept


def test_many_sessions_of_the_same_ranks_stay_small() -> None:
    kept: tuple[Session, ...] = ()
    for i in range(1000):
        kept = sessions.end(sessions.begin(kept, ranks=4 + i % 2, now=float(i)), seconds=0.5)
    assert sessions.read(sessions.write(kept)) == kept
    assert seconds_of(kept, 0) == pytest.approx(500.0)
    assert seconds_of(kept, 4) == pytest.approx(250.0)
    assert seconds_of(kept, 5) is None


def test_too_many_to_keep_are_unknown_and_not_wrong() -> None:
    kept: tuple[Session, ...] = ()
    for ranks in range(1, 200):
        kept = sessions.end(sessions.begin(kept, ranks=ranks, now=1.0), seconds=1.0)
    again = sessions.read(sessions.write(kept))
    assert seconds_of(again, 0) is None


def test_a_killed_session_leaves_the_time_unknown() -> None:
    kept = sessions.begin(sessions.begin((), ranks=2, now=0.0), ranks=2, now=50.0)
    kept = sessions.end(kept, seconds=3.0)
    assert seconds_of(kept, 0) is None
    kept = sessions.end(sessions.begin(kept, ranks=3, now=60.0), seconds=4.0)
    assert seconds_of(kept, 1) is None
    assert seconds_of(kept, 2) == 4.0


def test_a_session_that_goes_on_counts_until_now() -> None:
    kept = sessions.end(sessions.begin((), ranks=2, now=0.0), seconds=10.0)
    kept = sessions.begin(kept, ranks=2, now=100.0)
    assert seconds_of(kept, 1) is None
    assert seconds_of(kept, 1, now=105.0) == 15.0
