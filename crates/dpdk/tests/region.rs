//! Memory of the application's: what is refused and why, and which port reads it.
//! One test per file: EAL starts once per process.

mod common;

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use common::{config, device, eal, pool};
use dpdk::{BufPool, Port, PortHandle, Reads, Region, RegionError};

const LEN: usize = 1 << 20;

fn memory() -> NonNull<[u8]> {
    let layout = Layout::from_size_align(LEN, 4096).expect("pages");
    // SAFETY: the size is not zero.
    let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).expect("memory");
    NonNull::slice_from_raw_parts(at, LEN)
}

/// Whether the kernel leaves this memory out of processes that are forked: `dc` among the flags of its mapping (proc(5)).
fn kept_from_children(address: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
    let mut inside = false;
    for line in maps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if inside {
                return flags.split_whitespace().any(|flag| flag == "dc");
            }
        } else if let Some((start, rest)) = line.split_once('-')
            && let (Ok(start), Some((end, _))) = (usize::from_str_radix(start, 16), rest.split_once(' '))
            && let Ok(end) = usize::from_str_radix(end, 16)
        {
            inside = (start..end).contains(&address);
        }
    }
    panic!("{address:#x} is not mapped");
}

#[test]
fn s29_memory_is_refused_with_the_reason_or_read_where_it_is() {
    let null = device("null");
    let eal = eal(64, &[&null]);
    let memory = memory();
    let part = |range: std::ops::Range<usize>| {
        // SAFETY: inside the memory.
        let at = unsafe { memory.cast::<u8>().add(range.start) };
        NonNull::slice_from_raw_parts(at, range.len())
    };
    // SAFETY: the memory is never freed; pages are the smallest there are.
    let register = |range, page| unsafe { Region::register(&eal, part(range), page) };

    // Whole pages only, and each once.
    for (range, page) in
        [(1..LEN, 4096), (0..LEN - 1, 4096), (0..0, 4096), (0..LEN, 12_288), (0..LEN, 1 << 30)]
    {
        let error = register(range, page).expect_err("not whole pages");
        assert!(matches!(error, RegionError::Unaligned { .. }), "{error}");
        assert!(error.to_string().contains("multiples of"), "{error}");
    }
    let region = register(0..LEN, 4096).expect("whole pages");
    let error = register(0..LEN, 4096).expect_err("it is registered");
    assert!(matches!(error, RegionError::Register { .. }), "{error}");
    assert!(error.to_string().starts_with("DPDK does not take the memory: "), "{error}");

    // A pool of what fits.
    assert!(BufPool::over(&eal, &region, LEN as u32 + 64).is_err());
    let buffers = BufPool::over(&eal, &region, 65_536).expect("a pool");
    assert_eq!(buffers.count(), 16);
    // One at a time: each byte is in one buffer.
    let error = BufPool::over(&eal, &region, 4_096).expect_err("there is one");
    assert!(error.to_string().contains("another pool"), "{error}");
    let slice = buffers.try_alloc().expect("a buffer").freeze(1_000);
    let inside = |at: usize| region.addresses().contains(&at);
    assert!(inside(slice.as_slice().as_ptr().addr()));

    // A child has no arena, so nothing that it or we write to has the kernel put it elsewhere.
    let arena = Region::arena(&eal, LEN).expect("memory");
    assert!(kept_from_children(arena.addresses().start) && kept_from_children(arena.addresses().end - 1));
    assert!(!kept_from_children(region.addresses().start), "what the caller has is the caller's business");

    // A software device reads it anyway; one that is mapped for, from then on; one that shares EAL's memory, never.
    let rx = pool(&eal, "rx", 255, 2176);
    let open = || -> PortHandle {
        let port = Port::probe(&eal, &null).expect("a port");
        let config = config(&port);
        port.start(&config, std::slice::from_ref(&rx)).expect("starts").0
    };
    let port = open();
    assert_eq!(port.reads(), Reads::Everything);
    assert!(slice.is_read_by(Reads::Everything) && !slice.is_read_by(Reads::Eal));
    let (this, another) = (Reads::Mapped(port.serial()), Reads::Mapped(port.serial() + 1));
    assert!(!slice.is_read_by(this));
    region.map(&port).expect("a software device needs no mapping");
    region.map(&port).expect("again is the same");
    assert!(slice.is_read_by(this) && !slice.is_read_by(another));
    // A port that comes to be in the place of one that was closed is another one.
    drop(port);
    let port = open();
    assert_eq!(Reads::Mapped(port.serial()), another);
    assert!(!slice.is_read_by(another));
    region.map(&port).expect("mapped");
    assert!(slice.is_read_by(another) && !slice.is_read_by(this), "the closed one is forgotten");
    // EAL's own memory is read by all.
    let own = BufPool::new(&eal, &dpdk::BufPoolConfig { name: "own", count: 1, size: 64, socket: None });
    let own = own.expect("a pool").try_alloc().expect("a buffer").freeze(64);
    assert!([Reads::Everything, Reads::Eal, this].into_iter().all(|device| own.is_read_by(device)));

    // What is registered ends with the last buffer in it, and may then be registered anew.
    drop((region, buffers));
    assert!(register(0..LEN, 4096).is_err(), "a buffer is out");
    drop(slice);
    drop(register(0..LEN, 4096).expect("nobody has it any more"));
}
