//! Parts of a state, shared between states and stepped once.
//!
//! A part (a pod, a leader, what is in the ledger) has far fewer values than the whole has states, so what a step makes of a part is
//! remembered: the production code runs once for each value of a part and each step, and all else is a look-up.
//! Parts are the same where their hashes are, of 64 bits, as states are for the search itself.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

thread_local! {
    /// Each search has threads of its own, so nothing outlives the fault that was planted in it.
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// By the hashes of part and step.
type Known = HashMap<(u64, u64), Box<dyn Any>, BuildHasherDefault<Hashed>>;

/// Of keys that are hashes.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = self.0.rotate_left(1) ^ hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }
}

#[derive(Clone, Debug)]
pub struct Cached<T> {
    value: Arc<T>,
    hash: u64,
}

impl<T: Clone + Hash + 'static> Cached<T> {
    pub fn new(value: T) -> Self {
        let hash = hash(&(TypeId::of::<T>(), &value));
        Self { value: Arc::new(value), hash }
    }

    /// Changes it. `step` and the part say all that the change depends on.
    pub fn step<R: Clone + 'static>(&mut self, step: impl Hash, change: impl FnOnce(&mut T) -> R) -> R {
        let (next, result) = self.fact(step, |value| {
            let mut value = value.clone();
            let result = change(&mut value);
            (Self::new(value), result)
        });
        *self = next;
        result
    }

    /// Computed from it. `what` and the part say all that it depends on.
    pub fn fact<R: Clone + 'static>(&self, what: impl Hash, compute: impl FnOnce(&T) -> R) -> R {
        let key = (self.hash, hash(&(TypeId::of::<R>(), what)));
        let known = KNOWN.with_borrow(|known| known.get(&key).and_then(|fact| fact.downcast_ref::<R>()).cloned());
        known.unwrap_or_else(|| {
            let fact = compute(&self.value);
            KNOWN.with_borrow_mut(|known| known.insert(key, Box::new(fact.clone())));
            fact
        })
    }
}

/// Forgets what this thread knows: another fault is planted.
pub fn forget() {
    KNOWN.with_borrow_mut(HashMap::clear);
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl<T> Deref for Cached<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Cached<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Cached<T> {}

impl<T> Hash for Cached<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}
