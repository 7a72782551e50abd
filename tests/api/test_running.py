"""A process that works until it is told to stop."""

import gc

from api.running import keep_what_is_here


def test_what_was_made_at_the_start_is_not_searched_again_for_unused_memory() -> None:
    try:
        keep_what_is_here()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1000  # what a search still looks through
    finally:
        gc.unfreeze()
