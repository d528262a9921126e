"""What both ends of a connection must agree on: the sizes of messages and metadata."""

from services.kernel.faults import Code, Fault

MAX_MESSAGE = 32 * 1024 * 1024  # bytes of one message, in and out
MAX_METADATA = 16 * 1024  # bytes of all headers, or all trailers, of one call


def too_large(size: int, remedy: str = "read a list in pages, and of one large thing its parts") -> Fault:
    """An answer over the limit, and what to ask instead."""
    message = f"the answer has {size} bytes or more, and {MAX_MESSAGE} is the limit: {remedy}"
    return Fault(Code.RESOURCE_EXHAUSTED, "TOO_LARGE", message)


SIZE_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # The soft and the hard limit are one: between two, gRPC refuses at random.
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
)
