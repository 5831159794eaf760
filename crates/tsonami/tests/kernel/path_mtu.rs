//! Paths that carry less than was thought, whether a router says so or not.

use crate::same_as_linux;
use crate::scenario::Step::*;
use crate::scripted::scripted;
use crate::stand_in::ack;

#[test]
fn s42_a_router_tells_as_linux() {
    const CUT: &str =
        "what leaves again is cut anew as a whole (S42); Linux splits each segment that was too long";
    let scenarios = [
        scripted(
            "what was too long leaves again at once, shorter",
            [Write(4380), TooLong(1000), Answer(ack(961)), Answer(ack(4381)), Write(1920)],
        )
        .but(
            CUT,
            &[(
                1,
                &[
                    ". 1:961(960) ack 1",
                    ". 961:1461(500) ack 1",
                    ". 1461:2421(960) ack 1",
                    ". 2421:2921(500) ack 1",
                    ". 2921:3881(960) ack 1",
                    ". 3881:4381(500) ack 1",
                ],
                &[
                    ". 1:961(960) ack 1",
                    ". 961:1921(960) ack 1",
                    ". 1921:2881(960) ack 1",
                    ". 2881:3841(960) ack 1",
                    ". 3841:4381(540) ack 1",
                ],
            )],
        ),
        scripted("less than any path has", [Write(2920), TooLong(100), Answer(ack(2921)), Write(1000)]).but(
            "no path carries less than 576 bytes, for us (RFC 1122 §3.3.3), or 552, for Linux; and as above",
            &[
                (
                    1,
                    &[
                        ". 1:513(512) ack 1",
                        ". 513:1025(512) ack 1",
                        ". 1025:1461(436) ack 1",
                        ". 1461:1973(512) ack 1",
                        ". 1973:2485(512) ack 1",
                        ". 2485:2921(436) ack 1",
                    ],
                    &[
                        ". 1:537(536) ack 1",
                        ". 537:1073(536) ack 1",
                        ". 1073:1609(536) ack 1",
                        ". 1609:2145(536) ack 1",
                        ". 2145:2681(536) ack 1",
                        ". 2681:2921(240) ack 1",
                    ],
                ),
                (
                    3,
                    &[". 2921:3433(512) ack 1", ". 3433:3921(488) ack 1"],
                    &[". 2921:3457(536) ack 1", ". 3457:3921(464) ack 1"],
                ),
            ],
        ),
    ];
    same_as_linux("path_mtu::s42_a_router_tells_as_linux", &scenarios.map(|s| s.with_mss(1460)));
}

#[test]
fn s42_black_holes_as_linux() {
    let scenarios = [
        scripted(
            "long segments vanish",
            [Write(4380), Waits(5), Answer(ack(1161)), Answer(ack(4381)), Write(2000)],
        )
        .but(
            "S42: the third timeout in a row makes segments short, and all that is out is cut anew; Linux waits for fifteen \
             times the shortest, and splits what was too long",
            &[(
                1,
                &[
                    ". 1:1461(1460) ack 1 after 1 times the first wait",
                    ". 1:1461(1460) ack 1 after 2 times the first wait",
                    ". 1:1461(1460) ack 1 after 4 times the first wait",
                    ". 1:1461(1460) ack 1 after 8 times the first wait",
                    ". 1:1161(1160) ack 1 after 16 times the first wait",
                ],
                &[
                    ". 1:1461(1460) ack 1 after 1 times the first wait",
                    ". 1:1461(1460) ack 1 after 2 times the first wait",
                    ". 1:1161(1160) ack 1 after 4 times the first wait",
                    ". 1:1161(1160) ack 1 after 8 times the first wait",
                    ". 1:1161(1160) ack 1 after 16 times the first wait",
                ],
            ), (
                2,
                &[". 1161:1461(300) ack 1", ". 1461:2621(1160) ack 1"],
                &[". 1161:2321(1160) ack 1", ". 2321:3481(1160) ack 1"],
            )],
        ),
        scripted(
            "short ones do not fall into a hole",
            [Write(1000), Waits(5), Answer(ack(1001)), Write(1460)],
        )
        .but(
            "S42: timeouts of what the shortest paths carry say nothing of long segments; Linux looks at no lengths",
            &[(
                3,
                &[". 1001:2161(1160) ack 1", ". 2161:2461(300) ack 1"],
                &[". 1001:2461(1460) ack 1"],
            )],
        ),
    ];
    same_as_linux(
        "path_mtu::s42_black_holes_as_linux",
        &scenarios.map(|s| s.with_mss(1460).looking_for_black_holes()),
    );
}
