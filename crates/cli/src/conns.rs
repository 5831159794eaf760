//! What a loop of ours keeps about each connection, found by the connection's small number: no hash, and no allocation once as many
//! connections were there as ever are at a time.

use tsonami::ConnId;

/// A value for each connection that has one.
pub(crate) struct Conns<T> {
    slots: Vec<Option<(ConnId, T)>>,
    len: usize,
}

impl<T> Conns<T> {
    pub(crate) fn new() -> Conns<T> {
        Conns { slots: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the place of what another connection of the same number left behind.
    pub(crate) fn insert(&mut self, id: ConnId, value: T) {
        if id.index() >= self.slots.len() {
            self.slots.resize_with(id.index() + 1, || None);
        }
        let before = self.slots[id.index()].replace((id, value));
        self.len += usize::from(before.is_none());
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        self.slots.get_mut(id.index())?.as_mut().filter(|(owner, _)| *owner == id).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(id.index())?;
        let (_, value) = slot.take_if(|(owner, _)| *owner == id)?;
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|(_, value)| value)
    }

    /// Takes all out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (ConnId, T)> {
        self.len = 0;
        self.slots.drain(..).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_used_again_finds_its_new_owner_only() {
        let id = |generation: u64, index: u64| ConnId::from_bits(generation << 32 | index);
        let mut conns = Conns::new();
        conns.insert(id(0, 3), 'a');
        conns.insert(id(0, 1), 'b');
        assert_eq!(conns.len(), 2);
        assert_eq!(conns.get_mut(id(0, 3)), Some(&mut 'a'));
        assert_eq!(conns.get_mut(id(1, 3)), None);
        assert_eq!(
            (conns.remove(id(1, 3)), conns.remove(id(0, 3)), conns.remove(id(0, 3))),
            (None, Some('a'), None)
        );
        conns.insert(id(1, 3), 'c');
        assert_eq!(conns.get_mut(id(0, 3)), None);
        assert_eq!(conns.len(), 2);
        assert_eq!(conns.remove(id(0, 9)), None);
        assert_eq!(conns.values().copied().collect::<String>(), "bc");
        assert_eq!(conns.drain().collect::<Vec<_>>(), [(id(0, 1), 'b'), (id(1, 3), 'c')]);
        assert!(conns.is_empty());
    }
}
