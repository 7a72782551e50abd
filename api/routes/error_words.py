"""What a person is told beside the name of an error: what it means for them, in their language."""

from api.routes.presenting import N_

__all__ = ["EXPLAINED"]

EXPLAINED = {
    N_("The request cannot be read"): N_("Go back and try again."),
    N_("The input is not valid"): N_("Something in the address or the form cannot be so."),
    N_("Not possible in the present state"): N_("Look at it again: it may have changed."),
    N_("It has been changed meanwhile"): N_("Look at it again, then decide."),
    N_("The body is too large"): N_("Send a smaller file."),
    N_("Not found"): N_("There is nothing at this address, or nothing that you may see."),
    N_("Not allowed"): N_("Your role or your area does not reach this."),
    N_("Who is asking is not known"): N_("Sign in, then come back."),
    N_("No longer valid"): N_("Ask whoever gave you the address for a new one."),
    N_("Too many requests"): N_("Wait a minute, then try again."),
    N_("Something went wrong on our side"): N_("It was written down. Try again in a while."),
    N_("Not ready for this at the moment"): N_("Try again in a moment."),
    N_("The disk is full"): N_("Tell whoever runs the program."),
}
