//! Two namespaces and a veth pair between them.

use std::net::{Ipv4Addr, SocketAddrV4};

use clap::{Args, ValueEnum};
use live::place::Namespace;

use crate::failure::Failure;
use crate::parts::Setting;

/// Where the receiving end listens.
pub(crate) const RECEIVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 80, 0, 2), 5201);
/// What both ends of the pair are called.
pub(super) const INTERFACE: &str = "eth";
const SENDER: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 1);

/// Where packets that arrive are worked on. A veth pair hands a packet over on the CPU that sent it, and there the other
/// end's work is done as well unless it is steered elsewhere (rps_cpus).
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Steer {
    /// All on the receiver's: the sender has nothing but its calls left, and ACKs let data out at the receiver's cost
    Receiver,
    /// Each end's on its own, as two machines would
    Apart,
    /// Where it arises: data on the sender's, ACKs where they are sent
    None,
}

/// How the pair is set up.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WireArgs {
    /// On which CPU the kernel does the receive work of both ends
    #[arg(long, value_enum, default_value = "receiver")]
    steer: Steer,
    /// Have frames of the MTU built: no segmentation or reassembly left to the devices
    #[arg(long)]
    frames: bool,
}

impl WireArgs {
    /// What a reader has to know of it.
    pub(crate) fn note(&self, setting: &Setting) -> String {
        let steered = match self.steer {
            Steer::Receiver => {
                format!("all receive work steered to CPU {}, the receiver's", setting.receiver_cpu)
            }
            Steer::Apart => "receive work of each end steered to its own CPU".to_owned(),
            Steer::None => "receive work left where it arises".to_owned(),
        };
        let frames =
            if self.frames { "frames of 1500 bytes" } else { "frames up to 64 KiB, never segmented" };
        format!("CUBIC; {frames}; {steered}.")
    }
}

/// The pair. Gone when dropped, or when this process ends.
pub(crate) struct Wire {
    pub(crate) source: Namespace,
    pub(crate) sink: Namespace,
}

impl Wire {
    pub(crate) fn new(setting: &Setting, args: &WireArgs) -> Result<Wire, Failure> {
        let wire = Wire { source: Namespace::new()?, sink: Namespace::new()? };
        wire.source.run(&format!(
            "ip link add {INTERFACE} type veth peer name {INTERFACE} netns {}",
            wire.sink.pid()
        ))?;
        let Setting { sender_cpu, receiver_cpu, .. } = *setting;
        let (acks, data) = match args.steer {
            Steer::Receiver => (Some(receiver_cpu), Some(receiver_cpu)),
            Steer::Apart => (Some(sender_cpu), Some(receiver_cpu)),
            Steer::None => (None, None),
        };
        let ends = [(&wire.source, SENDER, acks), (&wire.sink, *RECEIVER.ip(), data)];
        for (place, address, steered) in ends {
            if args.frames {
                place.run(&format!("ethtool -K {INTERFACE} tso off gso off gro off"))?;
            }
            place.run(&format!("ip address add {address}/24 dev {INTERFACE}"))?;
            place.run(&format!("ip link set {INTERFACE} up"))?;
            // No run learns from another.
            place.set("ipv4/tcp_no_metrics_save", "1")?;
            // Connections that are opened and closed again and again: every port, and again after a second.
            place.set("ipv4/ip_local_port_range", "1024 65535")?;
            place.set("ipv4/tcp_tw_reuse", "1")?;
            if let Some(cpu) = steered {
                place.steer(INTERFACE, cpu)?;
            }
        }
        Ok(wire)
    }
}
