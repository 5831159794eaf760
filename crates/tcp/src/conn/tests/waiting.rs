//! Writers that wait for room in the send buffer.

use super::script::{Script, plain};
use crate::Event;
use crate::conn::{ConnConfig, WriteErrorKind};

#[test]
fn s4_a_writer_that_found_no_room_hears_when_there_is() {
    let cfg = ConnConfig { send_buffer: 2000, ..plain() };
    let mut s = Script::established(&cfg, 8000);
    s.write(2000);
    assert_eq!(s.conn.capacity(), 0);
    assert_eq!(s.conn.wait_for_room(), WriteErrorKind::Full);
    assert_eq!(s.events(), []);
    s.at(200).inject(". 1:1(0) ack 2001 win 8000");
    assert!(s.events().contains(&Event::Writable));
    s.shutdown();
    assert_eq!(s.conn.wait_for_room(), WriteErrorKind::Finished);
}
