//! TCP options as they must look when they leave here (RFC 9293 §3.2, RFC 7323, RFC 2018).

use super::{Report, Violation};

/// Checks the bytes between the fixed header and the payload.
pub(super) fn check(options: &[u8], syn: bool, report: Report<'_>) {
    let mut rest = options;
    while let Some(&kind) = rest.first() {
        let len = match kind {
            0 => {
                // MUST-69: padding after the end of the list is zeros.
                if rest.iter().any(|&b| b != 0) {
                    report(Violation::OptionPadding);
                }
                return;
            }
            1 => 1,
            _ => match rest.get(1) {
                Some(&len) if len >= 2 && usize::from(len) <= rest.len() => usize::from(len),
                _ => return report(Violation::OptionLength(kind)),
            },
        };
        let in_place = match (kind, len) {
            (1, _) | (8, 10) => true,
            (2, 4) | (3, 3) | (4, 2) => syn,
            (5, 10 | 18 | 26 | 34) => !syn,
            // Known kinds of another length.
            (2..=5 | 8, _) => false,
            _ => true,
        };
        if !in_place {
            report(Violation::Option(kind, len));
        }
        rest = &rest[len..];
    }
}
