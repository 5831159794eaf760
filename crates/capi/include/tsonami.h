/* tsonami: a TCP sender in userspace, over DPDK. Made by cbindgen from crates/capi/src: do not edit. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Version of this interface. It grows by one when something that was there changes; additions leave it.
#define TSONAMI_ABI_VERSION 1

// What happened to a connection.
typedef enum TsonamiEventKind {
  // A connection of ours is open.
  TSONAMI_EVENT_KIND_CONNECTED = 1,
  // A peer opened this connection to a listener of ours.
  TSONAMI_EVENT_KIND_ACCEPTED = 2,
  // There is something to read.
  TSONAMI_EVENT_KIND_READABLE = 3,
  // There is room in the send buffer again.
  TSONAMI_EVENT_KIND_WRITABLE = 4,
  // The acknowledged mark moved.
  TSONAMI_EVENT_KIND_ACKED = 5,
  // The peer finished its direction.
  TSONAMI_EVENT_KIND_PEER_FINISHED = 6,
  // Everything sent, and the end of our direction, is acknowledged.
  TSONAMI_EVENT_KIND_FINISHED = 7,
  // The connection is over. `error` says why; `TSONAMI_ERROR_OK` when it ended in good order.
  TSONAMI_EVENT_KIND_CLOSED = 8,
} TsonamiEventKind;

// Why a call failed. Functions return these as they are: negative numbers.
typedef enum TsonamiError {
  // Nothing failed.
  TSONAMI_ERROR_OK = 0,
  // Not now: try again after the next `TSONAMI_EVENT_KIND_WRITABLE`.
  TSONAMI_ERROR_WOULD_BLOCK = -1,
  // An argument makes no sense: a null pointer, text that is not UTF-8, an address that is none.
  TSONAMI_ERROR_INVALID = -2,
  // The connection is gone, or its sending direction is closed.
  TSONAMI_ERROR_CLOSED = -3,
  // The peer refused the connection.
  TSONAMI_ERROR_REFUSED = -4,
  // The peer reset the connection.
  TSONAMI_ERROR_RESET = -5,
  // Nobody answered in time.
  TSONAMI_ERROR_TIMED_OUT = -6,
  // There is no way to the peer.
  TSONAMI_ERROR_UNREACHABLE = -7,
  // The connection was aborted here.
  TSONAMI_ERROR_ABORTED = -8,
  // The device, or DPDK, failed.
  TSONAMI_ERROR_DEVICE = -9,
  // When the engine was closed something was not in order: a leak, a faulty frame, an incomplete capture.
  TSONAMI_ERROR_UNCLEAN = -10,
} TsonamiError;

// An engine. It belongs to the thread that opened it: no other may use it.
typedef struct Tsonami Tsonami;

// Something that happened.
typedef struct TsonamiEvent {
  // The connection it happened to.
  uint64_t connection;
  // What it was.
  enum TsonamiEventKind kind;
  // With `TSONAMI_EVENT_KIND_CLOSED`: why. `tsonami_error_message` says more.
  enum TsonamiError error;
} TsonamiEvent;

// How far a stream has come, in bytes: accepted ≥ sent ≥ acked ≥ reclaimed.
typedef struct TsonamiMarks {
  // Taken from the application.
  uint64_t accepted;
  // Handed to the device at least once.
  uint64_t sent;
  // Acknowledged by the peer.
  uint64_t acked;
  // Acknowledged, and no longer read by the device.
  uint64_t reclaimed;
} TsonamiMarks;

// One piece of `tsonami_send_pieces`.
typedef struct TsonamiPiece {
  // Its bytes.
  const void *bytes;
  // How many.
  size_t length;
} TsonamiPiece;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the interface that the library was built with: compare it with [`TSONAMI_ABI_VERSION`] of the header.
uint32_t tsonami_abi_version(void);

// Starts DPDK and the device, and makes an engine on the calling thread. `config` is TOML, as tsonami's
// configuration files are, for example `device = "tap"` and `address = "10.77.0.2/24"` on two lines. Null on failure.
// DPDK starts once per process.
//
// # Safety
// `config` is null or NUL-terminated.
struct Tsonami *tsonami_open(const char *config);

// Ends every connection, in good order within `drain_ms` milliseconds and by reset after that, closes the device and
// frees the engine, whatever it returns. Zero, or `TSONAMI_ERROR_UNCLEAN` when something was not in order.
//
// # Safety
// `engine` is null or came from [`tsonami_open`], was not closed, and is not used any more.
int32_t tsonami_close(struct Tsonami *engine,
                      uint32_t drain_ms);

// One bounded turn of the loop: receives, lets timers fire, sends, returns buffers. 1 when it did something, 0 when
// not.
//
// # Safety
// `engine` is null or came from [`tsonami_open`] on this thread and was not closed.
int32_t tsonami_poll(struct Tsonami *engine);

// Rests as the configuration's `wait` says when nothing was to be done; `busy`: this turn did something, so no rest.
//
// # Safety
// As [`tsonami_poll`].
void tsonami_rest(struct Tsonami *engine,
                  bool busy);

// Takes the next event. 1 when there was one, which is then in `event`; 0 when not.
//
// # Safety
// As [`tsonami_poll`]; `event` is null or points to memory for one.
int32_t tsonami_next_event(struct Tsonami *engine, struct TsonamiEvent *event);

// Opens a connection to `peer`, for example `"10.77.0.1:5001"`; its handle is then in `connection`. The event
// `TSONAMI_EVENT_KIND_CONNECTED` or `TSONAMI_EVENT_KIND_CLOSED` follows.
//
// # Safety
// As [`tsonami_poll`]; `peer` is null or NUL-terminated; `connection` is null or points to memory for a number.
int32_t tsonami_connect(struct Tsonami *engine,
                        const char *peer,
                        uint64_t *connection);

// Accepts connections at `local`, for example `"10.77.0.2:5001"`, at most `backlog` of them half open.
//
// # Safety
// As [`tsonami_poll`]; `local` is null or NUL-terminated.
int32_t tsonami_listen(struct Tsonami *engine, const char *local, size_t backlog);

// Copies up to `length` bytes into the connection's send buffer; how many, or a negative `TsonamiError`:
// `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`.
//
// # Safety
// As [`tsonami_poll`]; `bytes` is null or points to `length` bytes that do not change during the call.
ptrdiff_t tsonami_send(struct Tsonami *engine, uint64_t connection, const void *bytes, size_t length);

// Copies up to `length` received bytes to `buffer`; how many, 0 when there are none now, or a negative
// `TsonamiError`.
//
// # Safety
// As [`tsonami_poll`]; `buffer` is null or points to `length` bytes that nobody else uses during the call.
ptrdiff_t tsonami_read(struct Tsonami *engine, uint64_t connection, void *buffer, size_t length);

// How far the connection's stream has come.
//
// # Safety
// As [`tsonami_poll`]; `marks` is null or points to memory for them.
int32_t tsonami_marks(struct Tsonami *engine, uint64_t connection, struct TsonamiMarks *marks);

// Ends our direction behind what was sent. Reading goes on.
//
// # Safety
// As [`tsonami_poll`].
int32_t tsonami_shutdown_write(struct Tsonami *engine, uint64_t connection);

// Resets the connection.
//
// # Safety
// As [`tsonami_poll`].
int32_t tsonami_abort(struct Tsonami *engine, uint64_t connection);

// Gives the handle up. What was sent is still delivered, then the connection ends.
//
// # Safety
// As [`tsonami_poll`].
int32_t tsonami_release(struct Tsonami *engine, uint64_t connection);

// What the last failure on this thread was, and what mends it: UTF-8, valid until the next failure on this thread,
// never null.
const char *tsonami_error_message(void);

// Copies `count` pieces in order into the connection's send buffer, as one send; how many bytes, or a negative
// `TsonamiError` when none: `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`. With `more` another send
// follows at once, and a short segment at the end waits for it.
//
// # Safety
// As [`tsonami_poll`](crate::tsonami_poll); `pieces` is null or points to `count` pieces, the bytes of each of which are
// null or `length` bytes long, and nothing of it changes during the call.
ptrdiff_t tsonami_send_pieces(struct Tsonami *engine,
                              uint64_t connection,
                              const struct TsonamiPiece *pieces,
                              size_t count,
                              bool more);

// Sends up to `length` bytes of the open file `file` from `offset` on, read straight into memory that the device reads; how
// many, 0 at the end of the file, or a negative `TsonamiError` when none. The file's own position stays.
//
// # Safety
// As [`tsonami_poll`](crate::tsonami_poll); `file` is a descriptor that stays open during the call.
ptrdiff_t tsonami_send_file(struct Tsonami *engine,
                            uint64_t connection,
                            int32_t file,
                            uint64_t offset,
                            size_t length);

// Sends on `to` up to `length` bytes that `from` received and `tsonami_read` has not read, without copying them; how many,
// 0 when there are none now, or a negative `TsonamiError` when `to` takes none. They stay unread then.
//
// # Safety
// As [`tsonami_poll`](crate::tsonami_poll).
ptrdiff_t tsonami_splice(struct Tsonami *engine,
                         uint64_t from,
                         uint64_t to,
                         size_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus
