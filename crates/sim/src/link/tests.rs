//! A whole path: what enters, what comes out, and when.

use super::frame::tests::segment;
use super::*;

const MS: Nanos = Nanos::from_millis(1);

fn five_ms() -> LinkConfig {
    LinkConfig { delay: MS * 5, ..LinkConfig::default() }
}

/// Offers `n` frames, numbered, one every `gap`, and returns what arrives, as the user of a link goes about it.
fn arrivals(cfg: LinkConfig, n: u32, gap: Nanos) -> (Vec<(u64, u32)>, LinkCounts) {
    let mut link = Link::new(cfg, Rng::new(1));
    let (mut all, mut now, mut offered) = (Vec::new(), Time::ZERO, 0);
    loop {
        while let Some(delivery) = link.take(now) {
            assert_eq!(delivery.at, now, "taken late, or too early");
            let number = delivery.frame[..4].try_into().expect("four bytes");
            all.push((now.as_nanos() / 1_000, u32::from_be_bytes(number)));
        }
        if offered < n && now == Time::ZERO + gap * u64::from(offered) {
            let mut frame = vec![0; 1_226];
            frame[..4].copy_from_slice(&offered.to_be_bytes());
            link.offer(now, frame);
            offered += 1;
            continue;
        }
        let offer = (offered < n).then(|| Time::ZERO + gap * u64::from(offered));
        let Some(next) = [link.next(), offer].into_iter().flatten().min() else { break };
        assert!(next >= now, "time goes back from {now:?} to {next:?}");
        // What may come out now may also have been dropped; then the link looks further ahead by itself.
        now = next;
    }
    (all, *link.counts())
}

fn numbers(all: &[(u64, u32)]) -> Vec<u32> {
    all.iter().map(|(_, number)| *number).collect()
}

#[test]
fn frames_leave_at_the_rate_and_arrive_after_the_delay() {
    let (all, counts) = arrivals(five_ms(), 3, Nanos::ZERO);
    assert_eq!(all, [(5_010, 0), (5_020, 1), (5_030, 2)]);
    // 10 µs each: the second waits for the first, the third for both.
    assert_eq!((counts.waited, counts.longest_wait), (Nanos::from_micros(30), Nanos::from_micros(20)));
}

#[test]
fn a_full_queue_drops_the_newest() {
    let cfg = LinkConfig { queue: QueueConfig::frames(2), ..five_ms() };
    let (all, counts) = arrivals(cfg, 5, Nanos::ZERO);
    // One is being sent, two wait.
    assert_eq!((numbers(&all), counts.overflowed), (vec![0, 1, 2], 2));
}

#[test]
fn corruption_flips_one_bit() {
    let mut link = Link::new(LinkConfig { corrupt: 1.0, ..five_ms() }, Rng::new(1));
    link.offer(Time::ZERO, vec![0; 100]);
    let frame = link.take(Time::ZERO + MS * 6).expect("arrives").frame;
    assert_eq!(frame.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
}

#[test]
fn jitter_keeps_the_order_and_reordering_by_time_does_not() {
    let (all, _) = arrivals(LinkConfig { jitter: MS * 3, ..five_ms() }, 50, Nanos::ZERO);
    assert!(numbers(&all).is_sorted() && all[49].0 > 6_000);
    let reorder = Reorder { share: 0.2, by: FallBack::Time(MS * 3) };
    let (all, counts) = arrivals(LinkConfig { reorder, ..five_ms() }, 50, Nanos::ZERO);
    assert!(!numbers(&all).is_sorted() && counts.reordered > 0);
    assert_eq!(all.len(), 50);
}

#[test]
fn reordering_by_distance_lets_so_many_pass_and_no_more() {
    let by = FallBack::Distance { frames: 3, patience: MS * 20 };
    let reorder = |share| LinkConfig { reorder: Reorder { share, by }, ..five_ms() };
    let (all, counts) = arrivals(reorder(0.05), 400, MS);
    let order = numbers(&all);
    for (i, &number) in order.iter().enumerate() {
        let earlier = order[i..].iter().filter(|&&later| later < number).count();
        let passed = order[..i].iter().filter(|&&before| before > number).count();
        // Overtaken by three, or, beside a neighbour that waits too, by some more of a short list.
        assert!(
            passed == 0 || (3..=5).contains(&passed),
            "{number} was overtaken by {passed}, {earlier} left"
        );
    }
    assert!((5..40).contains(&counts.reordered), "{counts:?}");
    // Nobody comes to overtake: patience ends it.
    let (all, _) = arrivals(reorder(1.0), 1, MS);
    assert_eq!(all, [(25_010, 0)]);
}

#[test]
fn duplicates_arrive_twice_and_outages_pass_nothing() {
    let duplicate = LinkConfig { duplicate: 1.0, duplicate_within: MS, ..five_ms() };
    assert_eq!(arrivals(duplicate, 3, Nanos::ZERO).0.len(), 6);
    let outage = Some((Time::ZERO, Time::ZERO + MS * 3));
    // 10 µs to send: those of the milliseconds 0, 1 and 2 leave within the outage.
    assert_eq!(numbers(&arrivals(LinkConfig { outage, ..five_ms() }, 5, MS).0), [3, 4]);
}

#[test]
fn cross_traffic_takes_the_place_it_is_given_and_nobody_receives_it() {
    // Half the bottleneck: 10 µs of every 20 µs.
    let cross = CrossTraffic { rate: 1_226 * 8 * 50_000, frame: 1_226, on: MS, off: Nanos::ZERO };
    let (all, counts) =
        arrivals(LinkConfig { cross: Some(cross), ..five_ms() }, 1_000, Nanos::from_micros(20));
    assert_eq!((all.len(), counts.frames, counts.sent), (1_000, 1_000, 1_000));
    let last = all[999].0;
    assert!((5_000 + 19_980..5_000 + 20_020).contains(&last), "{last}");
    // A bottleneck that is overloaded by a half loses as much, of both.
    let cross = CrossTraffic { rate: 1_226 * 8 * 50_000, ..cross };
    let cfg = LinkConfig { cross: Some(cross), queue: QueueConfig::frames(20), ..five_ms() };
    let (all, counts) = arrivals(cfg, 10_000, Nanos::from_micros(10));
    let share = all.len() as f64 / 10_000.0;
    assert!((0.45..0.75).contains(&share) && counts.overflowed + all.len() as u64 == 10_000, "{counts:?}");
}

#[test]
fn an_idle_path_with_cross_traffic_has_nothing_to_wait_for() {
    let cross = CrossTraffic { rate: 900_000_000, frame: 1_500, on: MS, off: MS };
    let mut link = Link::new(LinkConfig { cross: Some(cross), ..five_ms() }, Rng::new(1));
    assert_eq!(link.next(), None);
    link.offer(Time::ZERO + Nanos::from_secs(1_000_000), vec![0; 100]);
    let arrival = link.next().expect("something is under way");
    assert!(arrival.since(Time::ZERO) < Nanos::from_secs(1_000_001));
}

#[test]
fn a_route_that_becomes_shorter_lets_later_frames_overtake() {
    let mut change = RouteChange::at(Time::ZERO + MS * 3);
    (change.delay, change.rate) = (Some(MS), Some(100_000_000));
    let (all, _) = arrivals(LinkConfig { changes: vec![change], ..five_ms() }, 5, MS);
    assert_eq!(all, [(4_100, 3), (5_010, 0), (5_100, 4), (6_010, 1), (7_010, 2)]);
}

#[test]
fn a_narrower_route_drops_what_is_too_big_and_says_so_if_it_does() {
    for icmp in [true, false] {
        let mut change = RouteChange::at(Time::ZERO + MS);
        change.mtu = Some(1_000);
        let mut link = Link::new(LinkConfig { icmp, changes: vec![change], ..five_ms() }, Rng::new(1));
        let packet = segment(1, 0, 0, 1_000);
        link.offer(Time::ZERO, packet.clone());
        link.offer(Time::ZERO + MS * 2, packet);
        link.offer(Time::ZERO + MS * 2, segment(1, 0, 0, 960));
        let mut out: Vec<(u64, bool, usize)> = Vec::new();
        while let Some(delivery) = link.take(Time::MAX) {
            out.push((delivery.at.as_millis(), delivery.back, delivery.frame.len()));
        }
        let error = [(5, false, 1_054), (7, true, 590), (7, false, 1_014)];
        assert_eq!(out, if icmp { error.to_vec() } else { [error[0], error[2]].to_vec() });
        assert_eq!((link.counts().too_big, link.next()), (1, None));
    }
}

#[test]
fn rfc3449_a_slow_return_path_thins_acks() {
    let slow = LinkConfig { rate: 1_000_000, thinning: Thinning::Filter, ..five_ms() };
    let mut link = Link::new(slow, Rng::new(1));
    (0..100).for_each(|n| link.offer(Time::ZERO, segment(1, 0, n, 0)));
    let acks: Vec<u32> = std::iter::from_fn(|| link.take(Time::MAX))
        .filter_map(|delivery| frame::bare_ack(&delivery.frame))
        .collect();
    assert_eq!((acks, link.counts().thinned), (vec![0, 99], 98));
}

#[test]
fn what_enters_is_accounted_for_whatever_happens() {
    let ge = GilbertElliott { to_bad: 0.05, to_good: 0.3, loss_good: 0.001, loss_bad: 0.7 };
    for discipline in [
        Discipline::TailDrop,
        Discipline::Codel(CodelConfig::default()),
        Discipline::FqCodel(FqCodelConfig::default()),
        Discipline::Step { threshold: 10_000 },
    ] {
        let cfg = LinkConfig {
            rate: 10_000_000,
            queue: QueueConfig { frames: 100, bytes: 100_000, discipline },
            loss: Loss::GilbertElliott(ge),
            jitter: MS * 3,
            cross: Some(CrossTraffic { rate: 5_000_000, frame: 700, on: MS * 50, off: MS * 50 }),
            reorder: Reorder { share: 0.1, by: FallBack::Distance { frames: 4, patience: MS * 10 } },
            ..five_ms()
        };
        let (all, c) = arrivals(cfg, 5_000, MS);
        assert_eq!(c.frames, c.sent + c.overflowed + c.early);
        assert_eq!(all.len() as u64, c.sent - c.lost);
    }
}
