//! What the types forbid, each beside what they allow: the two differ in one thing, so that it is that which the compiler minds.
//!
//! One thread at a time sends on a connection; the halves are for two threads.
//!
//! ```no_run
//! fn send(mut connection: tsonami::Connection) {
//!     let (sends, receives) = connection.into_split();
//!     std::thread::scope(|scope| {
//!         scope.spawn(|| { let mut sends = sends; sends.try_send_copy(b"one", Default::default()) });
//!         scope.spawn(|| { let mut receives = receives; receives.try_read() });
//!     });
//! }
//! ```
//!
//! ```compile_fail
//! fn send(mut connection: tsonami::Connection) {
//!     std::thread::scope(|scope| {
//!         scope.spawn(|| connection.try_send_copy(b"one", Default::default()));
//!         scope.spawn(|| connection.try_send_copy(b"two", Default::default()));
//!     });
//! }
//! ```
//!
//!
//! A local engine belongs to the thread that built it; an engine to all.
//!
//! ```no_run
//! fn send(engine: tsonami::Engine) {
//!     std::thread::spawn(move || engine.every_count());
//! }
//! ```
//!
//! ```compile_fail
//! fn send(engine: tsonami::LocalEngine) {
//!     std::thread::spawn(move || engine.every_count());
//! }
//! ```
//!
//!
//! Payload never changes: it may be in a device, or be sent again.
//!
//! ```no_run
//! fn send(mut buffer: tsonami::BufMut) {
//!     buffer.spare_mut()[0] = 1;
//!     let payload = tsonami::Payload::from(buffer.freeze(8));
//! }
//! ```
//!
//! ```compile_fail
//! fn send(mut buffer: tsonami::BufMut) {
//!     let mut payload = tsonami::Payload::from(buffer.freeze(8));
//!     payload[0] = 1;
//! }
//! ```
//!
//!
//! After an abort there is nothing left to use.
//!
//! ```no_run
//! fn send(mut connection: tsonami::Connection) {
//!     let _ = connection.try_read();
//!     connection.abort();
//! }
//! ```
//!
//! ```compile_fail
//! fn send(mut connection: tsonami::Connection) {
//!     connection.abort();
//!     let _ = connection.try_read();
//! }
//! ```
//!
//!
//! A connection has one owner, an engine many.
//!
//! ```no_run
//! fn send(engine: tsonami::Engine) -> tsonami::Engine {
//!     engine.clone()
//! }
//! ```
//!
//! ```compile_fail
//! fn send(connection: tsonami::Connection) -> tsonami::Connection {
//!     connection.clone()
//! }
//! ```
//!
//!
//! A payload that was sent is the connection's; who needs it too clones it before.
//!
//! ```no_run
//! fn send(connection: &mut tsonami::Connection, payload: tsonami::Payload) {
//!     let _ = connection.try_send(payload.clone(), Default::default());
//!     let _ = payload.len();
//! }
//! ```
//!
//! ```compile_fail
//! fn send(connection: &mut tsonami::Connection, payload: tsonami::Payload) {
//!     let _ = connection.try_send(payload, Default::default());
//!     let _ = payload.len();
//! }
//! ```
//!
//!
//! What was prepared goes next: nothing else can be sent until it is fired or cancelled.
//!
//! ```no_run
//! fn send(connection: &mut tsonami::Connection, payload: tsonami::Payload) {
//!     let prepared = connection.prepare(payload, Default::default());
//!     prepared.unwrap().fire();
//!     let _ = connection.try_send_copy(b"second", Default::default());
//! }
//! ```
//!
//! ```compile_fail
//! fn send(connection: &mut tsonami::Connection, payload: tsonami::Payload) {
//!     let prepared = connection.prepare(payload, Default::default());
//!     let _ = connection.try_send_copy(b"second", Default::default());
//!     prepared.unwrap().fire();
//! }
//! ```
//!
//!
//! Memory of the caller's own stays where it is by the caller's promise only.
//!
//! ```no_run
//! fn register(engine: &tsonami::LocalEngine, memory: std::ptr::NonNull<[u8]>) {
//!     // SAFETY: an example.
//!     let _ = unsafe { engine.register(memory, 4096) };
//! }
//! ```
//!
//! ```compile_fail
//! fn register(engine: &tsonami::LocalEngine, memory: std::ptr::NonNull<[u8]>) {
//!     let _ = engine.register(memory, 4096);
//! }
//! ```
