//! `/dev/net/tun`: what a TAP is made from.

use std::io::ErrorKind;

use super::{Finding, Host};

const DEVICE: &str = "/dev/net/tun";

/// Whether TAPs can be made, and whether the name and network of ours are free.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let subject = "TAP";
    let finding = match host.try_open(DEVICE) {
        Ok(()) => Finding::good(subject, format!("{DEVICE} opens")),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Finding::broken(subject, format!("there is no {DEVICE}"))
                .mend("sudo modprobe tun")
                .mend("sudo mkdir -p /dev/net && sudo mknod -m 666 /dev/net/tun c 10 200")
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            Finding::broken(subject, format!("no permission to open {DEVICE}"))
                .mend(format!("sudo chmod 666 {DEVICE}"))
        }
        Err(e) => Finding::broken(subject, format!("{DEVICE} does not open: {e}")).mend("sudo modprobe tun"),
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::{made_up, put};
    use super::*;

    #[test]
    fn without_the_device_the_module_is_named() {
        let root = tempfile::tempdir().unwrap();
        let finding = &check(&made_up(root.path()))[0];
        assert_eq!((finding.health, finding.mend[0].as_str()), (Health::Broken, "sudo modprobe tun"));
        put(root.path(), DEVICE, "");
        assert_eq!(check(&made_up(root.path()))[0].health, Health::Ok);
    }
}
