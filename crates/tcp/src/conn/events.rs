//! Events wait here until they are polled; the same one never twice.

use crate::{ConnError, Event};

/// What happened and was not polled yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    pending: u8,
    closed: Closed,
}

/// The last event, which comes once (`S6`).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Closed {
    #[default]
    Not,
    Pending(Result<(), ConnError>),
    Told,
}

/// The events without data, in the order they are told.
const ORDER: [Event; 6] =
    [Event::Connected, Event::Readable, Event::Acked, Event::Writable, Event::PeerFinished, Event::Finished];

impl Events {
    /// Something happened. Nothing more is noted once the connection is over, but what was noted is still told.
    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::Closed(result) if self.closed == Closed::Not => self.closed = Closed::Pending(result),
            Event::Closed(_) => {}
            _ => {
                if let Some(i) = ORDER.iter().position(|&e| e == event) {
                    self.pending |= 1 << i;
                }
            }
        }
    }

    /// True when there is nothing to tell, and nothing was told that is the last.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending == 0 && self.closed == Closed::Not
    }

    /// The next event to tell.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.pending != 0 {
            let i = self.pending.trailing_zeros();
            self.pending &= self.pending - 1;
            return ORDER.get(i as usize).copied();
        }
        let Closed::Pending(result) = self.closed else { return None };
        self.closed = Closed::Told;
        Some(Event::Closed(result))
    }

    /// Takes one event without data; whether it was there.
    pub(crate) fn take(&mut self, event: Event) -> bool {
        let bit = ORDER.iter().position(|&e| e == event).map_or(0, |i| 1 << i);
        let there = self.pending & bit != 0;
        self.pending &= !bit;
        there
    }

    /// Takes the last event if it is a failure.
    pub(crate) fn take_error(&mut self) -> Option<ConnError> {
        let Closed::Pending(Err(error)) = self.closed else { return None };
        self.closed = Closed::Told;
        Some(error)
    }
}

folds! { struct Events { pending } empty { closed } }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnErrorKind, Offset};

    #[test]
    fn s6_the_end_comes_last_and_once_and_keeps_the_first_reason() {
        let reset = Event::Closed(Err(ConnError { kind: ConnErrorKind::Reset, acked: Offset(7) }));
        let mut e = Events::default();
        e.push(reset);
        e.push(Event::Closed(Ok(())));
        e.push(Event::Acked);
        e.push(Event::Connected);
        e.push(Event::Acked);
        assert_eq!(e.pop(), Some(Event::Connected));
        assert_eq!(e.pop(), Some(Event::Acked));
        assert_eq!(e.pop(), Some(reset));
        e.push(Event::Closed(Ok(())));
        assert_eq!(e.pop(), None);
    }

    #[test]
    fn s6_what_was_taken_out_of_turn_is_not_told_again() {
        let reset = ConnError { kind: ConnErrorKind::Reset, acked: Offset(7) };
        let mut e = Events::default();
        assert_eq!(e.take_error(), None);
        e.push(Event::Connected);
        e.push(Event::Acked);
        e.push(Event::Closed(Err(reset)));
        assert!(e.take(Event::Connected));
        assert!(!e.take(Event::Connected) && !e.take(Event::Readable) && !e.take(Event::Closed(Err(reset))));
        assert_eq!(e.take_error(), Some(reset));
        assert_eq!(e.take_error(), None);
        assert_eq!((e.pop(), e.pop()), (Some(Event::Acked), None));
        // A good end is no error.
        let mut e = Events::default();
        e.push(Event::Closed(Ok(())));
        assert_eq!((e.take_error(), e.pop()), (None, Some(Event::Closed(Ok(())))));
    }
}
