/* tsonami: a TCP sender in userspace, over DPDK. Made by cbindgen from crates/capi/src: do not edit.
 *
 * There are two forms of the same thing: a TsonamiEngine has threads of its own, and any thread may use it; a TsonamiLocal is
 * polled by the thread that opened it. What holds for all functions:
 *
 * - One that can fail returns a negative TsonamiError. tsonami_last_error() then says, for this thread, what happened and
 *   what mends it. Other results are 0 for done, 1 and 0 for yes and no, or how many.
 * - What a function gives out by a pointer to a handle is the caller's, until it is given to the function that the comment
 *   names. A handle is no address. One that was given up, or that is of something else, is TSONAMI_ERROR_HANDLE.
 * - Any thread may use any handle, unless its type says otherwise. Two threads that meet where one at a time may be get
 *   TSONAMI_ERROR_BUSY.
 * - Times are nanoseconds. A timeout of 0 does what can be done at once, TSONAMI_FOREVER waits. Without a timeout wait: what
 *   opens, drains or ends an engine, tsonami_local_rest, and, for a turn of the engine that answers, what makes a listener, a pool or
 *   an arena, closes a listener, or asks an engine what it counts.
 * - Texts are UTF-8 and end with NUL. Nothing that is passed in is kept when the function returns, payload apart, which
 *   is counted.
 * - "Safety" says what a pointer must point to, which nobody can check.
 */


#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Waits as long as it takes; connections that go nowhere fail of their own timeouts.
#define TSONAMI_FOREVER -1

// Flag of sends: more follows at once. There is no PSH at the end of this send, and a short segment there waits for the next.
#define TSONAMI_SEND_MORE 1

// Flag of sends: a record ends here. No later byte joins its last segment.
#define TSONAMI_SEND_EOR 2

// Flag of sends: tell when the device took the last byte, and when the peer acknowledged it.
#define TSONAMI_SEND_TIMESTAMP 4

// Version of this interface. It grows by one when something that was there changes; additions leave it.
#define TSONAMI_ABI_VERSION 3

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
  // A time that a send asked for by `TSONAMI_SEND_TIMESTAMP`: `time`.
  TSONAMI_EVENT_KIND_SEND_TIME = 9,
} TsonamiEventKind;

// Why a call failed. Functions return these as they are: negative numbers.
typedef enum TsonamiError {
  // Nothing failed.
  TSONAMI_ERROR_OK = 0,
  // Not now, or not within the time given: try again later. Nothing was done.
  TSONAMI_ERROR_WOULD_BLOCK = -1,
  // An argument makes no sense: a null pointer, text that is not UTF-8, an address that is none.
  TSONAMI_ERROR_INVALID = -2,
  // The connection is over, or its sending direction is closed; or the listener was closed.
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
  // The device, DPDK, or a file failed.
  TSONAMI_ERROR_DEVICE = -9,
  // When the engine was closed something was not in order: a leak, bytes not delivered, a faulty frame.
  TSONAMI_ERROR_UNCLEAN = -10,
  // The program was compiled for another version of the interface.
  TSONAMI_ERROR_VERSION = -11,
  // The handle is null, of something else, of another thread's engine, or was given up before.
  TSONAMI_ERROR_HANDLE = -12,
  // Another thread uses the same half of the connection, or the listener, at this moment; or there is a pool over the
  // region.
  TSONAMI_ERROR_BUSY = -13,
  // The engine was shut down.
  TSONAMI_ERROR_ENGINE_GONE = -14,
  // There is not enough memory, or no free address.
  TSONAMI_ERROR_NO_MEMORY = -15,
  // A defect in tsonami. What the call was about can no longer be used; it can be given up.
  TSONAMI_ERROR_PANIC = -16,
} TsonamiError;

// What became of the last byte of a send.
typedef enum TsonamiSendTimeKind {
  // The device took it, for the first time.
  TSONAMI_SEND_TIME_KIND_SENT = 1,
  // The peer acknowledged it.
  TSONAMI_SEND_TIME_KIND_ACKED = 2,
  // It had its turn, and the device was to take it: before the others.
  TSONAMI_SEND_TIME_KIND_SCHEDULED = 3,
} TsonamiSendTimeKind;

// What can be changed while a connection is open. Everything else is told at its start, by the options.
typedef enum TsonamiSetting {
  // 1: small segments leave at once; 0: Nagle's algorithm.
  TSONAMI_SETTING_NO_DELAY = 1,
  // 1: short segments wait for more bytes; 0: they leave.
  TSONAMI_SETTING_CORK = 2,
  // How long what is left at the end may take to be delivered, nanoseconds; -1: as long as the user timeout allows.
  TSONAMI_SETTING_LINGER = 3,
  // How long the peer may leave bytes unacknowledged, nanoseconds.
  TSONAMI_SETTING_USER_TIMEOUT = 4,
  // Memory that may wait to be acknowledged, bytes. It does not grow by itself any more then.
  TSONAMI_SETTING_SEND_BUFFER = 5,
  // Bytes never sent that stop the writer; -1: none.
  TSONAMI_SETTING_NOTSENT_LOWAT = 6,
  // Bits per second, the fastest that payload leaves; -1: as fast as windows allow.
  TSONAMI_SETTING_MAX_PACING_RATE = 7,
} TsonamiSetting;

// A buffer of a pool that is being filled. One thread at a time writes to it.
typedef struct TsonamiBuffer TsonamiBuffer;

// A connection that is being opened. One thread at a time waits for it; any may close it meanwhile.
typedef struct TsonamiConnecting TsonamiConnecting;

// A connection. One thread at a time may send on it, and one at a time receive; these may be two. A call that meets
// another thread in the same half fails with `TSONAMI_ERROR_BUSY`. Any thread may abort it, whatever others do with it.
typedef struct TsonamiConnection TsonamiConnection;

// TCP over a device, on one thread of its own or several (`workers` in its configuration). Any thread may use it, several at
// once.
typedef struct TsonamiEngine TsonamiEngine;

// Accepts connections. One thread at a time accepts; any may close it meanwhile.
typedef struct TsonamiListener TsonamiListener;

// An engine that its caller polls. It belongs to the thread that opened it: in others its handle is unknown. Connections of
// it are numbers; one that is gone, or that was given up, is `TSONAMI_ERROR_CLOSED`.
typedef struct TsonamiLocal TsonamiLocal;

// Bytes that never change: filled by the application, or received. Any thread may use it, and any number of sends, each of
// which keeps the bytes as long as it needs them: whoever got the handle frees it, at any time.
typedef struct TsonamiPayload TsonamiPayload;

// Buffers that a device can read. Any thread may use it. Freeing the handle leaves what was taken from the pool alone.
typedef struct TsonamiPool TsonamiPool;

// Memory outside DPDK's that a device can read. Any thread may use it; it goes when its handle was freed and every pool over
// it is gone.
typedef struct TsonamiRegion TsonamiRegion;

// One piece of a vectored send.
typedef struct TsonamiPiece {
  // Payload to be referred to, whole; null for a piece that is copied.
  const struct TsonamiPayload *payload;
  // Without payload: the bytes to be copied.
  const void *bytes;
  // How many.
  size_t length;
} TsonamiPiece;

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

// A time that a send asked for by `TSONAMI_SEND_TIMESTAMP`.
typedef struct TsonamiSendTime {
  // Offset in the stream behind the send's last byte.
  uint64_t end;
  // Nanoseconds of the engine's clock, which begins anywhere: for differences.
  uint64_t at;
  // What happened then.
  enum TsonamiSendTimeKind kind;
} TsonamiSendTime;

// Something that happened.
typedef struct TsonamiEvent {
  // The connection it happened to.
  uint64_t connection;
  // What it was.
  enum TsonamiEventKind kind;
  // With `TSONAMI_EVENT_KIND_CLOSED`: why. `tsonami_last_error` says more.
  enum TsonamiError error;
  // With `TSONAMI_EVENT_KIND_SEND_TIME`: what happened when.
  struct TsonamiSendTime time;
} TsonamiEvent;

// What a connection counted, and how it stands. Times are nanoseconds, rates bits per second; what is not known is 0.
typedef struct TsonamiStats {
  // Payload bytes sent for the first time.
  uint64_t bytes_sent;
  // Payload bytes acknowledged.
  uint64_t bytes_acked;
  // Payload bytes sent again.
  uint64_t bytes_retransmitted;
  // Payload bytes received in order.
  uint64_t bytes_received;
  // Bursts sent that carry payload.
  uint64_t bursts;
  // Segments sent, of every kind.
  uint64_t segments_sent;
  // Segments sent again.
  uint64_t segments_retransmitted;
  // Segments received.
  uint64_t segments_received;
  // Segments received with bytes beyond a gap.
  uint64_t segments_out_of_order;
  // Duplicate ACKs received.
  uint64_t dup_acks;
  // Recoveries begun by duplicate ACKs, or by what RACK found lost.
  uint64_t fast_recoveries;
  // Expirations of the retransmission timer.
  uint64_t timeouts;
  // Recoveries and timeouts that proved needless.
  uint64_t spurious;
  // Tail loss probes sent.
  uint64_t tail_probes;
  // Probes of a closed window sent.
  uint64_t window_probes;
  // Keepalive probes sent.
  uint64_t keepalive_probes;
  // ACKs received that echo a congestion mark.
  uint64_t ecn_echoes;
  // Smoothed round-trip time.
  uint64_t srtt;
  // Its mean deviation.
  uint64_t rttvar;
  // Smallest round-trip time seen.
  uint64_t min_rtt;
  // The retransmission timeout now.
  uint64_t rto;
  // Congestion window, bytes.
  uint64_t cwnd;
  // Slow start threshold, bytes; `UINT64_MAX` while unknown.
  uint64_t ssthresh;
  // The peer's window, bytes.
  uint64_t send_window;
  // The window we offer, bytes.
  uint64_t receive_window;
  // Payload bytes of a full segment.
  uint64_t mss;
  // Bytes of the largest IP packet that is sent.
  uint64_t path_mtu;
  // The rate data is paced at.
  uint64_t pacing_rate;
  // The newest delivery rate that shows what the path can do.
  uint64_t delivery_rate;
  // Bytes in the send queue that were never sent.
  uint64_t unsent;
  // What the send queue may hold now, bytes of memory.
  uint64_t send_buffer;
  // Payload bytes sent by reference that were copied after all, because the device does not take them as they are.
  uint64_t bytes_copied_after_all;
} TsonamiStats;

// Something an engine counts.
typedef struct TsonamiCount {
  // Its name, valid for ever.
  const char *name;
  // How many.
  uint64_t value;
  // What it counts, in English, valid for ever.
  const char *meaning;
} TsonamiCount;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the interface that the library has: `TSONAMI_ABI_VERSION` of the header it was built with.
uint32_t tsonami_abi_version(void);

// Whether a program compiled for `version` (pass `TSONAMI_ABI_VERSION`) can use this library: 0, or `TSONAMI_ERROR_VERSION`
// with both versions in the message. What opens an engine asks this itself.
int32_t tsonami_check_version(uint32_t version);

// Begins to open a connection to `peer`, and does not wait: `tsonami_connecting_wait` does, or looks whether it is open. `peer`
// and `options` as in `tsonami_engine_connect`. Close it with `tsonami_connecting_close`, opened or not.
//
// # Safety
// `peer` is null or NUL-terminated, `options` too; `connecting` is null or points to memory for a handle.
int32_t tsonami_engine_begin_connect(const struct TsonamiEngine *engine,
                                     const char *peer,
                                     const char *options,
                                     struct TsonamiConnecting **connecting);

// Begins to open a connection that worker `worker` looks after, counted from 0.
//
// # Safety
// As `tsonami_engine_begin_connect`.
int32_t tsonami_engine_begin_connect_at(const struct TsonamiEngine *engine,
                                        uint32_t worker,
                                        const char *peer,
                                        const char *options,
                                        struct TsonamiConnecting **connecting);

// The connection, once it is open; waits for that for `timeout` nanoseconds at most: 0 looks whether it is, `TSONAMI_FOREVER`
// waits as long as its connect timeout allows. `TSONAMI_ERROR_WOULD_BLOCK` while it is not: it goes on, wait again. It is given
// out once; so is the error when it does not open. Close it with `tsonami_connection_close`.
//
// # Safety
// `connection` is null or points to memory for a handle.
int32_t tsonami_connecting_wait(const struct TsonamiConnecting *connecting,
                                int64_t timeout,
                                struct TsonamiConnection **connection);

// Gives the handle up. A connection that it gave out is not concerned. One that is not open yet is given up, and whoever waits
// for it in another thread gets `TSONAMI_ERROR_ABORTED`.
int32_t tsonami_connecting_close(struct TsonamiConnecting *connecting);

// Our address, such as `10.77.0.2:49152`, in `text`, which has room for `room` bytes, NUL included; cut off when that is too
// little. How long it is without NUL: at most 50 bytes.
//
// # Safety
// `text` is null or points to `room` bytes.
ptrdiff_t tsonami_connection_local(const struct TsonamiConnection *connection,
                                   char *text,
                                   size_t room);

// The peer's address, as `tsonami_connection_local`.
//
// # Safety
// As there.
ptrdiff_t tsonami_connection_peer(const struct TsonamiConnection *connection, char *text, size_t room);

// Sends payload without a copy: all of it or nothing. Waits for room for `timeout` nanoseconds at most: 0 not at all,
// `TSONAMI_FOREVER` until there is. `flags`: `TSONAMI_SEND_MORE`, `TSONAMI_SEND_EOR`. `offset`, unless it is null, gets the
// offset of its first byte in the stream. The connection keeps the bytes as long as it needs them; the handle stays the
// caller's, to send again elsewhere or to free.
//
// # Safety
// `offset` is null or points to memory for a number.
int32_t tsonami_connection_send(const struct TsonamiConnection *connection,
                                const struct TsonamiPayload *payload,
                                uint32_t flags,
                                int64_t timeout,
                                uint64_t *offset);

// Copies bytes and sends them. Waits for room for `timeout` nanoseconds at most: 0 takes what there is room for now,
// `TSONAMI_FOREVER` waits until all are taken. How many were taken, or an error when none.
//
// # Safety
// `bytes` is null or points to `length` bytes that do not change during the call.
ptrdiff_t tsonami_connection_send_copy(const struct TsonamiConnection *connection,
                                       const void *bytes,
                                       size_t length,
                                       uint32_t flags,
                                       int64_t timeout);

// Sends pieces in order, as one send, copying those without payload: a header copied and a body referred to leave in one
// burst. How many bytes were taken, or an error when none. What was taken is taken out of `pieces` (a piece that is gone has
// no payload and no length), so the same array may be passed again for the rest. It does not wait.
//
// # Safety
// `pieces` is null or points to `number` pieces, the bytes of each of which are null or `length` bytes long, and nobody else
// uses any of it during the call.
ptrdiff_t tsonami_connection_send_pieces(const struct TsonamiConnection *connection,
                                         struct TsonamiPiece *pieces,
                                         size_t number,
                                         uint32_t flags);

// Sends payloads in order, in one go where there is room, waiting for it `timeout` nanoseconds at most: 0 takes those there is
// room for now, `TSONAMI_FOREVER` waits until all are taken. `flags` are those of the last of them all. How many payloads were
// taken, the first ones, or an error when none. The handles stay the caller's.
//
// # Safety
// `payloads` is null or points to `number` handles that do not change during the call.
ptrdiff_t tsonami_connection_send_batch(const struct TsonamiConnection *connection,
                                        const struct TsonamiPayload *const *payloads,
                                        size_t number,
                                        uint32_t flags,
                                        int64_t timeout);

// Makes a send ready for `tsonami_connection_fire`: the payload is there and there is room for it, so that firing only gives it
// away. It does not wait; `TSONAMI_ERROR_WOULD_BLOCK` when there is no room. `flags` as in `tsonami_connection_send`; the handle
// stays the caller's. Until it is fired or taken back by `tsonami_connection_unprepare`, nothing else is sent on the
// connection and its direction is not ended: that is `TSONAMI_ERROR_BUSY`. Closing the connection sends nothing.
int32_t tsonami_connection_prepare(const struct TsonamiConnection *connection,
                                   const struct TsonamiPayload *payload,
                                   uint32_t flags);

// Sends what was prepared. `offset`, unless it is null, gets the offset of its first byte in the stream. The only things that
// can be wrong are that nothing is prepared, which is `TSONAMI_ERROR_INVALID`, and that the connection has ended since.
//
// # Safety
// `offset` is null or points to memory for a number.
int32_t tsonami_connection_fire(const struct TsonamiConnection *connection,
                                uint64_t *offset);

// Takes back what was prepared. Nothing is sent.
int32_t tsonami_connection_unprepare(const struct TsonamiConnection *connection);

// Lets out what is held back, by cork, by `TSONAMI_SEND_MORE` or by Nagle's algorithm. What is not held back needs no flush.
int32_t tsonami_connection_flush(const struct TsonamiConnection *connection);

// How far the stream has come. What was sent, acknowledged and reclaimed is as of the last ACK.
//
// # Safety
// `marks` is null or points to memory for them.
int32_t tsonami_connection_marks(const struct TsonamiConnection *connection, struct TsonamiMarks *marks);

// Bytes that may be sent now.
ptrdiff_t tsonami_connection_capacity(const struct TsonamiConnection *connection);

// Waits until the peer acknowledged everything before `offset`, or all that was accepted if that is less: `timeout`
// nanoseconds at most. Other threads may send meanwhile.
int32_t tsonami_connection_wait_acked(const struct TsonamiConnection *connection,
                                      uint64_t offset,
                                      int64_t timeout);

// From now on payload comes back by `tsonami_connection_pop_reclaimed` when it is acknowledged and no device reads it any
// more, that of copying sends too. Without this it goes home to its pool by itself.
int32_t tsonami_connection_keep_reclaimed(const struct TsonamiConnection *connection);

// The next payload that is acknowledged and that no device reads any more: a handle of its own, to be freed, and, unless
// `offset` is null, its offset in the stream. 1 when there is one, 0 when not.
//
// # Safety
// `payload` is null or points to memory for a handle, `offset` is null or to memory for a number.
int32_t tsonami_connection_pop_reclaimed(const struct TsonamiConnection *connection,
                                         struct TsonamiPayload **payload,
                                         uint64_t *offset);

// Ends our direction behind what was sent: the peer reads an end of file. Receiving goes on.
int32_t tsonami_connection_shutdown_write(const struct TsonamiConnection *connection);

// Ends our direction behind what was sent, and waits until the peer acknowledged all of it, `timeout` nanoseconds at most.
// The direction ends however the wait does.
int32_t tsonami_connection_finish(const struct TsonamiConnection *connection,
                                  int64_t timeout);

// Resets the connection, whatever other threads do with it; what the peer has not acknowledged is lost. It takes nothing to
// send from here on. Threads that wait on it, in whatever call, are told in the engine's next turn: by
// `TSONAMI_ERROR_ABORTED`, or by how much was done if that is not nothing. The handle is still to be given up by
// `tsonami_connection_close`.
int32_t tsonami_connection_abort(const struct TsonamiConnection *connection);

// Gives the handle up. What was sent is still delivered, then the connection ends as a kernel's socket would.
// `TSONAMI_ERROR_BUSY`, and nothing closed, while another thread uses it: abort it first. One that was aborted is given up
// whatever other threads do.
int32_t tsonami_connection_close(struct TsonamiConnection *connection);

// Starts DPDK and the device, on threads of their own. `version`: `TSONAMI_ABI_VERSION`. `config` is TOML, as tsonami's
// configuration files are, for example `device = "tap"` and `address = "10.77.0.2/24"` on two lines. End it with
// `tsonami_engine_shutdown`. DPDK starts once per process.
//
// # Safety
// `config` is null or NUL-terminated; `engine` is null or points to memory for a handle.
int32_t tsonami_engine_open(uint32_t version,
                            const char *config,
                            struct TsonamiEngine **engine);

// Ends every connection, in good order within `drain` nanoseconds and by reset after that, and closes the device. The handle
// is gone then, whatever the result. Whoever still waits for something of this engine, in any thread, gets
// `TSONAMI_ERROR_ENGINE_GONE`; handles of its connections and memory are to be given up all the same. 0, or
// `TSONAMI_ERROR_UNCLEAN` when something was not in order: buffers that the program still holds, bytes that were not
// delivered.
int32_t tsonami_engine_shutdown(struct TsonamiEngine *engine,
                                int64_t drain);

// Opens a connection to `peer`, for example `"10.77.0.1:5001"`, and waits until it is open, `timeout` nanoseconds at most
// (`TSONAMI_FOREVER`: as long as its connect timeout allows). `options`: TOML, as the section `connection` of a configuration
// file, for example `no_delay = true`; null for those of the engine's configuration. Nothing is left of it when it fails.
// Close it with `tsonami_connection_close`. Who does not want to wait, or wants to end the wait from another thread, begins
// by `tsonami_engine_begin_connect`.
//
// # Safety
// `peer` is null or NUL-terminated, `options` too; `connection` is null or points to memory for a handle.
int32_t tsonami_engine_connect(const struct TsonamiEngine *engine,
                               const char *peer,
                               const char *options,
                               int64_t timeout,
                               struct TsonamiConnection **connection);

// How many workers the engine has: threads, each with its own share of the connections.
int32_t tsonami_engine_workers(const struct TsonamiEngine *engine);

// Opens a connection that worker `worker` looks after, counted from 0, as `tsonami_engine_connect` does at each in turn: to
// have connections that one thread uses together at one worker.
//
// # Safety
// As there.
int32_t tsonami_engine_connect_at(const struct TsonamiEngine *engine,
                                  uint32_t worker,
                                  const char *peer,
                                  const char *options,
                                  int64_t timeout,
                                  struct TsonamiConnection **connection);

// Accepts connections at `local`, for example `"10.77.0.2:5001"`, at most `backlog` of them half open. `options` as in
// `tsonami_engine_connect`. Close it with `tsonami_listener_close`.
//
// # Safety
// `local` is null or NUL-terminated, `options` too; `listener` is null or points to memory for a handle.
int32_t tsonami_engine_listen(const struct TsonamiEngine *engine,
                              const char *local,
                              size_t backlog,
                              const char *options,
                              struct TsonamiListener **listener);

// A pool to send from: `count` buffers of `size` bytes each, at least 64, in memory near the device. Free it with
// `tsonami_pool_free`.
//
// # Safety
// `pool` is null or points to memory for a handle.
int32_t tsonami_engine_make_pool(const struct TsonamiEngine *engine,
                                 uint32_t count,
                                 uint32_t size,
                                 struct TsonamiPool **pool);

// Memory of the program's own that the device can read: `length` bytes, rounded up to whole pages, of hugepages where there
// are any, zero at first. Make it a pool by `tsonami_engine_make_pool_over`. Free it with `tsonami_region_free`.
//
// # Safety
// `region` is null or points to memory for a handle.
int32_t tsonami_engine_make_arena(const struct TsonamiEngine *engine,
                                  size_t length,
                                  struct TsonamiRegion **region);

// Makes memory that the program has known to the device, whole pages of `page` bytes: to be made a pool by
// `tsonami_engine_make_pool_over`. Free it with `tsonami_region_free`. In a program that forks it should be kept from the children
// (`MADV_DONTFORK`), as an arena is.
//
// # Safety
// `bytes` points to `length` bytes that stay mapped and where they are, and that are written only through buffers of pools over
// them, until the region, every pool over it and every buffer of these are gone. Each was written to at least once, if only by
// the kernel that made the page. `region` is null or points to memory for a handle.
int32_t tsonami_engine_register(const struct TsonamiEngine *engine,
                                void *bytes,
                                size_t length,
                                size_t page,
                                struct TsonamiRegion **region);

// A pool over a region, which has one at a time: as many buffers of `size` bytes as fit into it. Free it with
// `tsonami_pool_free`.
//
// # Safety
// `pool` is null or points to memory for a handle.
int32_t tsonami_engine_make_pool_over(const struct TsonamiEngine *engine,
                                      const struct TsonamiRegion *region,
                                      uint32_t size,
                                      struct TsonamiPool **pool);

// What the last failure on this thread was, and what mends it: UTF-8, never null. It is valid until the next call of this
// interface on this thread that fails.
const char *tsonami_last_error(void);

// What a code means in general, in English, never null and valid for ever. `tsonami_last_error` says more.
const char *tsonami_strerror(int32_t code);

// Sends up to `length` bytes of the open file `file` from `offset` on, read straight into memory that the device reads. Waits
// for room for `timeout` nanoseconds at most: 0 takes what there is room for now, `TSONAMI_FOREVER` waits until all are
// taken. How many were; 0 at the end of the file; or an error when none. The file's own position stays. The calling thread
// reads the file, and waits as long as the disk does.
//
// # Safety
// `file` is a descriptor that stays open during the call, or negative.
ptrdiff_t tsonami_connection_send_file(const struct TsonamiConnection *connection,
                                       int32_t file,
                                       uint64_t offset,
                                       size_t length,
                                       uint32_t flags,
                                       int64_t timeout);

// Sends on `to` up to `length` bytes that `from` receives and that were not read, without copying them. Waits for bytes and
// for room for `timeout` nanoseconds at most: 0 takes what is there now, `TSONAMI_FOREVER` waits until all were sent or `from`
// is at its end. How many were; 0 at the end of `from`; or an error when none. What was not sent is still to be read. It uses
// the receiving half of `from` and the sending half of `to`, which may be the same connection.
ptrdiff_t tsonami_connection_splice(const struct TsonamiConnection *from,
                                    const struct TsonamiConnection *to,
                                    size_t length,
                                    uint32_t flags,
                                    int64_t timeout);

// The next connection that a peer opened; waits for one for `timeout` nanoseconds at most: 0 looks whether there is one,
// `TSONAMI_FOREVER` waits. `TSONAMI_ERROR_WOULD_BLOCK` when there is none. Close it with `tsonami_connection_close`.
//
// # Safety
// `connection` is null or points to memory for a handle.
int32_t tsonami_listener_accept(const struct TsonamiListener *listener,
                                int64_t timeout,
                                struct TsonamiConnection **connection);

// Accepts no more, resets connections that nobody took, and gives the handle up. A thread that waits for a connection gets
// `TSONAMI_ERROR_CLOSED`.
int32_t tsonami_listener_close(struct TsonamiListener *listener);

// Starts DPDK and the device, and makes an engine on the calling thread. `version`: `TSONAMI_ABI_VERSION`. `config` as in
// `tsonami_engine_open`. End it with `tsonami_local_close`. DPDK starts once per process.
//
// # Safety
// `config` is null or NUL-terminated; `engine` is null or points to memory for a handle.
int32_t tsonami_local_open(uint32_t version,
                           const char *config,
                           struct TsonamiLocal **engine);

// Ends every connection, in good order within `drain` nanoseconds and by reset after that, and closes the device. The handle
// is gone then, whatever the result. 0, or `TSONAMI_ERROR_UNCLEAN` when something was not in order.
int32_t tsonami_local_close(struct TsonamiLocal *engine,
                            int64_t drain);

// Finishes every connection, and turns the loop until they have ended, for `at_most` nanoseconds: payload comes home, and what is
// then missing is known before the engine is closed. 1 when they have ended, 0 when the time was over.
int32_t tsonami_local_drain(const struct TsonamiLocal *engine,
                            int64_t at_most);

// One bounded turn of the loop: receives, lets timers fire, sends, returns buffers. 1 when it did something, 0 when not.
int32_t tsonami_local_poll(const struct TsonamiLocal *engine);

// Rests as the configuration's `wait` says when nothing was to be done; `busy`: this turn did something, so no rest.
int32_t tsonami_local_rest(const struct TsonamiLocal *engine,
                           bool busy);

// Takes the next event. 1 when there was one, which is then in `event`; 0 when not.
//
// # Safety
// `event` is null or points to memory for one.
int32_t tsonami_local_next_event(const struct TsonamiLocal *engine, struct TsonamiEvent *event);

// Opens a connection to `peer`, for example `"10.77.0.1:5001"`; its number is then in `connection`. The event
// `TSONAMI_EVENT_KIND_CONNECTED` or `TSONAMI_EVENT_KIND_CLOSED` follows. `options` as in `tsonami_engine_connect`.
//
// # Safety
// `peer` is null or NUL-terminated, `options` too; `connection` is null or points to memory for a number.
int32_t tsonami_local_connect(const struct TsonamiLocal *engine,
                              const char *peer,
                              const char *options,
                              uint64_t *connection);

// Accepts connections at `local`, for example `"10.77.0.2:5001"`, at most `backlog` of them half open, each told by
// `TSONAMI_EVENT_KIND_ACCEPTED`. `options` as in `tsonami_engine_connect`.
//
// # Safety
// `local` is null or NUL-terminated, `options` too.
int32_t tsonami_local_listen(const struct TsonamiLocal *engine,
                             const char *local,
                             size_t backlog,
                             const char *options);

// Copies up to `length` received bytes to `buffer`; how many, or 0 when there are none now: the events tell when there are,
// and when the peer finished.
//
// # Safety
// `buffer` is null or points to `length` bytes that nobody else uses during the call.
ptrdiff_t tsonami_local_read(const struct TsonamiLocal *engine,
                             uint64_t connection,
                             void *buffer,
                             size_t length);

// How far the connection's stream has come.
//
// # Safety
// `marks` is null or points to memory for them.
int32_t tsonami_local_marks(const struct TsonamiLocal *engine,
                            uint64_t connection,
                            struct TsonamiMarks *marks);

// What the connection counted. `size`: `sizeof(TsonamiStats)`.
//
// # Safety
// `stats` is null or points to `size` bytes.
int32_t tsonami_local_stats(const struct TsonamiLocal *engine,
                            uint64_t connection,
                            struct TsonamiStats *stats,
                            size_t size);

// Changes a setting, one of `TsonamiSetting`, from now on.
int32_t tsonami_local_set(const struct TsonamiLocal *engine,
                          uint64_t connection,
                          int32_t setting,
                          int64_t value);

// Ends our direction behind what was sent. Reading goes on.
int32_t tsonami_local_shutdown_write(const struct TsonamiLocal *engine, uint64_t connection);

// Resets the connection.
int32_t tsonami_local_abort(const struct TsonamiLocal *engine, uint64_t connection);

// Gives the connection up. What was sent is still delivered, then it ends.
int32_t tsonami_local_release(const struct TsonamiLocal *engine, uint64_t connection);

// A pool to send from, as `tsonami_engine_make_pool`.
//
// # Safety
// `pool` is null or points to memory for a handle.
int32_t tsonami_local_make_pool(const struct TsonamiLocal *engine,
                                uint32_t count,
                                uint32_t size,
                                struct TsonamiPool **pool);

// Memory of the program's own that the device can read, as `tsonami_engine_make_arena`.
//
// # Safety
// `region` is null or points to memory for a handle.
int32_t tsonami_local_make_arena(const struct TsonamiLocal *engine,
                                 size_t length,
                                 struct TsonamiRegion **region);

// Makes memory that the program has known to the device, whole pages of `page` bytes: to be made a pool by
// `tsonami_local_make_pool_over`. In a program that forks it should be kept from the children (`MADV_DONTFORK`), as an arena is.
//
// # Safety
// `bytes` points to `length` bytes that stay mapped and where they are, and that are written only through buffers of pools over
// them, until the region, every pool over it and every buffer of these are gone. Each was written to at least once, if only by
// the kernel that made the page. `region` is null or points to memory for a handle.
int32_t tsonami_local_register(const struct TsonamiLocal *engine,
                               void *bytes,
                               size_t length,
                               size_t page,
                               struct TsonamiRegion **region);

// A pool over a region, as `tsonami_engine_make_pool_over`.
//
// # Safety
// `pool` is null or points to memory for a handle.
int32_t tsonami_local_make_pool_over(const struct TsonamiLocal *engine,
                                     const struct TsonamiRegion *region,
                                     uint32_t size,
                                     struct TsonamiPool **pool);

// Sends payload without a copy: all of it or nothing. `flags`, `offset` and what becomes of the handle: as in
// `tsonami_connection_send`. `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`.
//
// # Safety
// `offset` is null or points to memory for a number.
int32_t tsonami_local_send(const struct TsonamiLocal *engine,
                           uint64_t connection,
                           const struct TsonamiPayload *payload,
                           uint32_t flags,
                           uint64_t *offset);

// Copies up to `length` bytes into the connection's send buffer; how many, or an error when none:
// `TSONAMI_ERROR_WOULD_BLOCK` until `TSONAMI_EVENT_KIND_WRITABLE`.
//
// # Safety
// `bytes` is null or points to `length` bytes that do not change during the call.
ptrdiff_t tsonami_local_send_copy(const struct TsonamiLocal *engine,
                                  uint64_t connection,
                                  const void *bytes,
                                  size_t length,
                                  uint32_t flags);

// Sends pieces in order, as one send: as `tsonami_connection_send_pieces`.
//
// # Safety
// As there.
ptrdiff_t tsonami_local_send_pieces(const struct TsonamiLocal *engine,
                                    uint64_t connection,
                                    struct TsonamiPiece *pieces,
                                    size_t number,
                                    uint32_t flags);

// Sends up to `length` bytes of the open file `file` from `offset` on, read straight into memory that the device reads; how
// many, 0 at the end of the file, or an error when none. The file's own position stays.
//
// # Safety
// `file` is a descriptor that stays open during the call, or negative.
ptrdiff_t tsonami_local_send_file(const struct TsonamiLocal *engine,
                                  uint64_t connection,
                                  int32_t file,
                                  uint64_t offset,
                                  size_t length,
                                  uint32_t flags);

// Sends on `to` up to `length` bytes that `from` received and `tsonami_local_read` has not read, without copying them; how
// many, 0 when there are none now, or an error when `to` takes none. They stay unread then.
ptrdiff_t tsonami_local_splice(const struct TsonamiLocal *engine,
                               uint64_t from,
                               uint64_t to,
                               size_t length,
                               uint32_t flags);

// Lets out what is held back, as `tsonami_connection_flush`.
int32_t tsonami_local_flush(const struct TsonamiLocal *engine, uint64_t connection);

// From now on payload comes back by `tsonami_local_pop_reclaimed` when it is acknowledged and no device reads it any more.
// Without this it goes home to its pool by itself.
int32_t tsonami_local_keep_reclaimed(const struct TsonamiLocal *engine,
                                     uint64_t connection);

// The next payload that is acknowledged and that no device reads any more, as `tsonami_connection_pop_reclaimed`.
//
// # Safety
// `payload` is null or points to memory for a handle, `offset` is null or to memory for a number.
int32_t tsonami_local_pop_reclaimed(const struct TsonamiLocal *engine,
                                    uint64_t connection,
                                    struct TsonamiPayload **payload,
                                    uint64_t *offset);

// Where the region is: its first byte, and how many there are. The program may write there what it likes, except to what was
// frozen and is not home again: a send needs its bytes until they are reclaimed, whether or not there is still a handle on them.
//
// # Safety
// `bytes` and `length` are null or point to memory for one each.
int32_t tsonami_region_bytes(const struct TsonamiRegion *region,
                             void **bytes,
                             size_t *length);

// Gives the handle up. The memory goes when every pool over it and every buffer of these is gone.
int32_t tsonami_region_free(struct TsonamiRegion *region);

// Takes a buffer out of the pool. `TSONAMI_ERROR_WOULD_BLOCK` when all are out: they come back when their bytes are
// acknowledged. Free it with `tsonami_buffer_free`.
//
// # Safety
// `buffer` is null or points to memory for a handle.
int32_t tsonami_pool_alloc(const struct TsonamiPool *pool,
                           struct TsonamiBuffer **buffer);

// How many buffers are in the pool now.
ptrdiff_t tsonami_pool_available(const struct TsonamiPool *pool);

// Gives the handle up. Its buffers may outlive it.
int32_t tsonami_pool_free(struct TsonamiPool *pool);

// Where to write, and how many bytes there is room for: behind what was frozen. The memory is the program's until it is
// frozen or the buffer freed.
//
// # Safety
// `bytes` and `room` are null or point to memory for one each.
int32_t tsonami_buffer_room(const struct TsonamiBuffer *buffer,
                            void **bytes,
                            size_t *room);

// Makes the next `length` bytes of the buffer payload, which nobody writes to any more. The buffer goes on behind them. Free
// the payload with `tsonami_payload_free`.
//
// # Safety
// `payload` is null or points to memory for a handle.
int32_t tsonami_buffer_freeze(const struct TsonamiBuffer *buffer,
                              size_t length,
                              struct TsonamiPayload **payload);

// Gives the buffer up. It goes home to its pool when no payload in it is left.
int32_t tsonami_buffer_free(struct TsonamiBuffer *buffer);

// Where the bytes are, and how many. They stay there until the handle is freed.
//
// # Safety
// `bytes` and `length` are null or point to memory for one each.
int32_t tsonami_payload_bytes(const struct TsonamiPayload *payload, const void **bytes, size_t *length);

// A further handle, on `length` of the bytes from `offset` on. Nothing is copied. Free it as the first.
//
// # Safety
// `part` is null or points to memory for a handle.
int32_t tsonami_payload_slice(const struct TsonamiPayload *payload,
                              size_t offset,
                              size_t length,
                              struct TsonamiPayload **part);

// Gives the handle up. Sends that need the bytes keep them.
int32_t tsonami_payload_free(struct TsonamiPayload *payload);

// Copies up to `length` received bytes to `buffer`. Waits for the first of them for `timeout` nanoseconds at most: 0 not at
// all, `TSONAMI_FOREVER` until there is one. How many; 0 when the peer finished and all was received; or an error, such as
// `TSONAMI_ERROR_WOULD_BLOCK`. An error of the connection comes behind everything that was received before it.
//
// # Safety
// `buffer` is null or points to `length` bytes that nobody else uses during the call.
ptrdiff_t tsonami_connection_read(const struct TsonamiConnection *connection,
                                  void *buffer,
                                  size_t length,
                                  int64_t timeout);

// The next bytes that arrive, where the device put them: nothing is copied. Waits as `tsonami_connection_read`. 1 when there
// are some, as payload to be freed; 0 when the peer finished and all was received. Holding many of them for long makes the
// device copy or drop: copy out what is to be kept.
//
// # Safety
// `payload` is null or points to memory for a handle.
int32_t tsonami_connection_receive(const struct TsonamiConnection *connection,
                                   int64_t timeout,
                                   struct TsonamiPayload **payload);

// Changes a setting, one of `TsonamiSetting`, from here on: what was sent before is under the old one.
int32_t tsonami_connection_set(const struct TsonamiConnection *connection, int32_t setting, int64_t value);

// Asks a peer that was silent for `idle` nanoseconds whether it is still there, every `interval` nanoseconds, and gives it up
// after `probes` without an answer. Without `probes`: never.
int32_t tsonami_connection_set_keepalive(const struct TsonamiConnection *connection,
                                         int64_t idle,
                                         int64_t interval,
                                         uint32_t probes);

// What the connection counted, as the engine tells within `timeout` nanoseconds. `size`: `sizeof(TsonamiStats)`; later
// versions of the structure are longer.
//
// # Safety
// `stats` is null or points to `size` bytes.
int32_t tsonami_connection_stats(const struct TsonamiConnection *connection,
                                 int64_t timeout,
                                 struct TsonamiStats *stats,
                                 size_t size);

// Everything the engine counts, of all workers together, as many counts as `counts` has room for. How many there are: call
// it again with so much room.
//
// # Safety
// `counts` is null or points to memory for `number` of them.
ptrdiff_t tsonami_engine_counts(const struct TsonamiEngine *engine,
                                struct TsonamiCount *counts,
                                size_t number);

// What worker `worker` counts, as `tsonami_engine_counts` tells of all.
//
// # Safety
// As there.
ptrdiff_t tsonami_engine_counts_of(const struct TsonamiEngine *engine,
                                   uint32_t worker,
                                   struct TsonamiCount *counts,
                                   size_t number);

// Keeps the times that sends ask for, from now on: call it before the first send with `TSONAMI_SEND_TIMESTAMP`. At most 64
// such sends may be under way, and a thousand times wait to be taken; more are lost.
int32_t tsonami_connection_keep_send_times(const struct TsonamiConnection *connection);

// The next time at which the end of a send left for the device or was acknowledged. 1 when there is one, 0 when not.
//
// # Safety
// `time` is null or points to memory for one.
int32_t tsonami_connection_pop_send_time(const struct TsonamiConnection *connection,
                                         struct TsonamiSendTime *time);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus
