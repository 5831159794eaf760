//! Receive-side scaling: the hash by which a device spreads connections over its queues, and whose they are by it.

use std::net::{IpAddr, SocketAddr};

use ::dpdk::RssInfo;
use tcp::FourTuple;

/// A key by which both directions of a connection have one hash: it repeats every 16 bits, which is what addresses and
/// ports are swapped by. Two of our engines with as many workers each then agree on who looks after a connection.
const SYMMETRIC: [u8; 40] = {
    let mut key = [0x6d; 40];
    let mut at = 1;
    while at < key.len() {
        key[at] = 0x5a;
        at += 2;
    }
    key
};

/// Entries of the table of a device that has none.
const ENTRIES: u16 = 128;

/// The Toeplitz hash of `input`: for each bit that is set, the 32 bits of the key that begin at its place.
pub fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let mut hash = 0;
    for (i, byte) in input.iter().enumerate() {
        // The key's bits that this byte's bits choose from: 32 for each, one further on each time.
        let window = (0..5).fold(0_u64, |bits, k| bits << 8 | u64::from(key[(i + k) % key.len()]));
        for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
            hash ^= (window >> (8 - bit)) as u32;
        }
    }
    hash
}

/// The hash of what arrives from `tuple.remote`, as a device computes it: its source comes first.
pub fn hash(key: &[u8], tuple: &FourTuple) -> u32 {
    let mut input = [0; 36];
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        input[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    for end in [&tuple.remote, &tuple.local].map(SocketAddr::ip) {
        match end {
            IpAddr::V4(ip) => put(&ip.octets()),
            IpAddr::V6(ip) => put(&ip.octets()),
        }
    }
    put(&tuple.remote.port().to_be_bytes());
    put(&tuple.local.port().to_be_bytes());
    toeplitz(key, &input[..len])
}

/// Which worker owns which connection: computed, never looked up, so all workers agree without a word.
///
/// Where the device tells how it spreads connections, it is computed like that, and what is received is received by its owner.
/// Where it does not, by a hash of our own; who receives a frame of another's connection hands it over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steering {
    key: Vec<u8>,
    /// Queue by hash.
    table: Vec<u16>,
    queues: u16,
    workers: u16,
    by_device: bool,
}

impl Steering {
    /// For a device with `queues` queues, of which each is received from by the worker of the same number, and as many
    /// `workers` or more. `rss`: what the device tells.
    ///
    /// # Panics
    /// Without queues or workers.
    pub fn new(rss: Option<&RssInfo>, queues: u16, workers: u16) -> Steering {
        assert!(queues > 0 && workers >= queues, "{workers} workers for {queues} queues");
        let told = rss.filter(|rss| {
            let sound = !rss.key.is_empty() && !rss.table.is_empty();
            sound && rss.ipv4_tcp && rss.table.iter().all(|queue| *queue < queues)
        });
        match told {
            Some(rss) => {
                let (key, table) = (rss.key.clone(), rss.table.clone());
                Steering { key, table, queues, workers, by_device: true }
            }
            None => {
                let table = (0..ENTRIES.max(queues)).map(|entry| entry % queues).collect();
                Steering { key: SYMMETRIC.into(), table, queues, workers, by_device: false }
            }
        }
    }

    /// Computed as the device says it does.
    pub fn is_by_device(&self) -> bool {
        self.by_device
    }

    /// Workers in all.
    pub fn workers(&self) -> u16 {
        self.workers
    }

    /// The queue that the connection's frames arrive at, if the device does what it says.
    pub fn queue(&self, tuple: &FourTuple) -> u16 {
        self.table[hash(&self.key, tuple) as usize % self.table.len()]
    }

    /// The worker it belongs to. A queue's connections are shared among the workers whose number is the queue's, modulo the
    /// number of queues.
    pub fn owner(&self, tuple: &FourTuple) -> u16 {
        let hash = hash(&self.key, tuple) as usize;
        let queue = self.table[hash % self.table.len()];
        let sharers = (self.workers - queue).div_ceil(self.queues);
        // Bits that did not choose the queue.
        queue + self.queues * ((hash / self.table.len()) % usize::from(sharers)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the verification suite in the RSS specification.
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn tuple(local: &str, remote: &str) -> FourTuple {
        FourTuple { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[test]
    fn the_verification_suite_of_the_rss_specification() {
        for (destination, source, expected) in [
            ("161.142.100.80:1766", "66.9.149.187:2794", 0x51cc_c178),
            ("65.69.140.83:4739", "199.92.111.2:14230", 0xc626_b0ea),
            ("12.22.207.184:38024", "24.19.198.95:12898", 0x5c2b_394a),
            ("209.142.163.6:2217", "38.27.205.30:48228", 0xafc7_327f),
            ("202.188.127.2:1303", "153.39.163.191:44251", 0x10e8_28a2),
            ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x4020_7d3d),
            ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0xdde5_1bbf),
            ("[fe80::200:f8ff:fe21:67cf]:38024", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", 0x02d1_feef),
        ] {
            assert_eq!(hash(&KEY, &tuple(destination, source)), expected, "{source} to {destination}");
        }
        // Addresses alone.
        let addresses = [66, 9, 149, 187, 161, 142, 100, 80];
        assert_eq!(toeplitz(&KEY, &addresses), 0x323e_8fc2);
    }

    #[test]
    fn both_ends_agree_where_the_hash_is_ours() {
        let steering = Steering::new(None, 2, 5);
        let mut shares = [0; 5];
        for port in 32_768..60_999 {
            let here = tuple(&format!("10.0.0.2:{port}"), "10.0.0.1:5001");
            let there = FourTuple { local: here.remote, remote: here.local };
            assert_eq!(steering.owner(&here), steering.owner(&there));
            let owner = steering.owner(&here);
            assert_eq!(steering.queue(&here), owner % 2);
            shares[usize::from(owner)] += 1;
        }
        // Half to each queue: three workers share one, two the other.
        assert!(shares.iter().all(|share| *share > 28_231 / 8), "{shares:?}");
    }

    #[test]
    fn what_the_device_tells_is_believed_if_it_can_be() {
        let rss = RssInfo { key: KEY.into(), table: vec![1, 0, 1, 0], ipv4_tcp: true, ipv6_tcp: false };
        let steering = Steering::new(Some(&rss), 2, 2);
        assert!(steering.is_by_device());
        let one = tuple("161.142.100.80:1766", "66.9.149.187:2794");
        // 0x51ccc178 & 3
        assert_eq!((steering.queue(&one), steering.owner(&one)), (1, 1));
        for odd in [
            RssInfo { ipv4_tcp: false, ..rss.clone() },
            RssInfo { table: vec![0, 2], ..rss.clone() },
            RssInfo { table: vec![], ..rss.clone() },
            RssInfo { key: vec![], ..rss.clone() },
        ] {
            assert!(!Steering::new(Some(&odd), 2, 2).is_by_device(), "{odd:?}");
        }
    }
}
