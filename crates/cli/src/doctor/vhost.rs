//! `/dev/vhost-net`: whole TSO frames to this machine's kernel, where it exists.

use std::io::ErrorKind;

use super::{Finding, Host};

/// Whether vhost-net is there.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let subject = "vhost-net";
    vec![match host.try_open("/dev/vhost-net") {
        Ok(()) => {
            Finding::good(subject, "/dev/vhost-net opens: virtio-user can hand this kernel whole TSO frames")
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            Finding::note(subject, "no permission to open /dev/vhost-net")
                .mend("sudo chmod 666 /dev/vhost-net")
        }
        Err(_) => Finding::note(subject, "not here: TAP does instead, at a system call per segment")
            .mend("sudo modprobe vhost_net"),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::made_up;
    use super::*;

    #[test]
    fn a_machine_without_vhost_net_is_not_broken() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(check(&made_up(root.path()))[0].health, Health::Note);
    }
}
