//! Asks when each of ten sends had its turn, was given to the device, left that, and was acknowledged.
//!
//!     nc -l 5001 > /dev/null &
//!     cargo run --example send_times -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.1:5001
//!
//! Few devices tell when they sent, and a TAP does not: so they are asked "if available" only, and the program says which it is.

use std::error::Error;
use std::time::Duration;

use tsonami::{Config, Connection, Engine, HardwareTimes, SendFlags, SendTimeKind, Time, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, peer] = arguments()?;
    let config = Config::new(&device, address.parse()?);
    let engine = Engine::builder(config).hardware_times(HardwareTimes::IfAvailable).build()?;
    let tells = if engine.device().hardware_times { "tells" } else { "does not tell" };
    println!("{} {tells} when it sends", engine.device().port.driver);

    let patience = Wait::at_most(Duration::from_secs(10));
    let mut connection = engine.connect(peer.parse()?, None).wait(&patience)?;
    connection.sends().keep_send_times();
    let (start, ask) = (Time::ZERO, SendFlags { timestamp: true, ..SendFlags::default() });
    for number in 1..=10 {
        connection.send_copy(format!("send {number}\n").as_bytes(), ask).wait(&patience)?;
        connection.acked(connection.marks().accepted).wait(&patience)?;
        print_times(&mut connection, start);
    }
    // The device's time of the last one may be in coming.
    connection.finish().wait(&patience)?;
    print_times(&mut connection, start);
    println!("the device did not tell of {}", connection.stats(&patience)?.device_times_missed);

    drop(connection);
    Ok(engine.shutdown(Duration::from_secs(1))?)
}

fn print_times(connection: &mut Connection, start: Time) {
    while let Some(time) = connection.sends().pop_send_time() {
        let what = match time.kind {
            SendTimeKind::Scheduled => "had its turn",
            SendTimeKind::Sent => "was given to the device",
            SendTimeKind::Device { .. } => "left the device",
            SendTimeKind::Acked => "was acknowledged",
            _ => continue,
        };
        println!("{} ns: the send up to byte {} {what}", time.at.since(start).as_nanos(), time.end);
    }
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: send_times DEVICE ADDRESS/PREFIX PEER:PORT".into())
}
