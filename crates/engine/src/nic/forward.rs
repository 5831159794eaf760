//! What a NIC that wraps another one leaves to it.

/// The calls of [`Nic`](super::Nic) that no wrapper has an opinion about, handed on to `self.inner`, a NIC of type `$N`. One
/// that is added to the trait is added here once, or answered by each wrapper itself.
macro_rules! leave_to_inner {
    ($N:ident) => {
        #[inline]
        fn limits(&self) -> &$crate::nic::NicLimits {
            self.inner.limits()
        }

        #[inline]
        fn mac(&self) -> [u8; 6] {
            self.inner.mac()
        }

        #[inline]
        fn rx_pressed(&self) -> bool {
            self.inner.rx_pressed()
        }

        #[inline]
        fn lend_header(&mut self) -> Option<$N::Header> {
            self.inner.lend_header()
        }

        #[inline]
        fn copied_after_all(&self) -> u64 {
            self.inner.copied_after_all()
        }

        #[inline]
        fn tx_completed(&mut self) -> Option<u64> {
            self.inner.tx_completed()
        }

        #[inline]
        fn reclaim(&mut self) {
            self.inner.reclaim();
        }

        #[inline]
        fn nudges(&self) -> u64 {
            self.inner.nudges()
        }

        #[inline]
        fn alloc_tail(&mut self) -> Option<$N::Tail> {
            self.inner.alloc_tail()
        }

        #[inline]
        fn alloc_small_tail(&mut self) -> Option<$N::Tail> {
            self.inner.alloc_small_tail()
        }

        #[inline]
        fn tail_bytes(&self) -> Option<u64> {
            self.inner.tail_bytes()
        }

        #[inline]
        fn tail_bytes_out(&self) -> u64 {
            self.inner.tail_bytes_out()
        }

        #[inline]
        fn stamps(&self) -> bool {
            self.inner.stamps()
        }

        #[inline]
        fn claim_stamp(&mut self) -> bool {
            self.inner.claim_stamp()
        }

        #[inline]
        fn take_stamp(&mut self) -> Option<tcp::DeviceTime> {
            self.inner.take_stamp()
        }

        #[inline]
        fn release_stamp(&mut self) {
            self.inner.release_stamp();
        }

        #[inline]
        fn cycles(&self) -> u64 {
            self.inner.cycles()
        }

        #[inline]
        fn now(&self) -> Option<tcp::Time> {
            self.inner.now()
        }
    };
}
pub(super) use leave_to_inner;
