//! A program that is a DPDK program already: it has started the EAL itself, for its own purposes, and hands it over.
//!
//!     cargo run --example host_eal -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.1:5001

use std::error::Error;
use std::ffi::{CString, c_char};
use std::time::Duration;

use tsonami::{Config, Eal, Engine, SendFlags, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, peer] = arguments()?;
    start_eal(&["host_eal", "--no-huge", "-m", "256", "--no-shconf", "--no-pci", "--no-telemetry"])?;

    // SAFETY: the EAL was just started, and ends below, after the engine.
    let eal = unsafe { Eal::adopt()? };
    let engine = Engine::builder(Config::new(&device, address.parse()?)).eal(eal).build()?;
    let patience = Wait::at_most(Duration::from_secs(10));
    let mut connection = engine.connect(peer.parse()?, None).wait(&patience)?;
    connection.send_copy(b"hello from a DPDK program\n", SendFlags::default()).wait(&patience)?;
    connection.finish().wait(&patience)?;
    drop(connection);
    engine.shutdown(Duration::from_secs(1))?;

    // The host's EAL is as it was, for the host to go on with, and to end.
    // SAFETY: nothing of the engine is left.
    let ended = unsafe { dpdk_sys::rte_eal_cleanup() };
    println!("the EAL ended with {ended}");
    Ok(())
}

/// What the host program does at its start.
fn start_eal(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    // EAL keeps pointers into its arguments.
    let texts = arguments
        .iter()
        .map(|text| Ok(CString::new(*text)?.into_raw()))
        .collect::<Result<_, Box<dyn Error>>>();
    let mut texts: Vec<*mut c_char> = texts?;
    let count = i32::try_from(texts.len())?;
    texts.push(std::ptr::null_mut());
    // SAFETY: as many strings as it says, and a null pointer, none of them ever freed.
    let used = unsafe { dpdk_sys::rte_eal_init(count, texts.leak().as_mut_ptr()) };
    if used < 0 { Err("the EAL did not start".into()) } else { Ok(()) }
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: host_eal DEVICE ADDRESS/PREFIX PEER:PORT".into())
}
