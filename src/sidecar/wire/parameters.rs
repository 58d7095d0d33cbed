//! Names and values of run-time parameters, as in start-up packets and ParameterStatus.

/// Sorted by name, each once; names compare without case, as PostgreSQL's do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(Bytes, Bytes)>);

type Bytes = Box<[u8]>;

impl Parameters {
    /// The last value for a name wins.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        match self.position(name) {
            Ok(at) => {
                if let Some((_, old)) = self.0.get_mut(at)
                    && **old != *value
                {
                    *old = value.into();
                }
            }
            Err(at) => self.0.insert(at, (name.into(), value.into())),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// In order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, name: &[u8]) -> Result<usize, usize> {
        // Asked for at each transaction: nothing is allocated.
        let wanted = || name.iter().map(u8::to_ascii_lowercase);
        self.0.binary_search_by(|(name, _)| name.iter().map(u8::to_ascii_lowercase).cmp(wanted()))
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            parameters.set(name.as_ref(), value.as_ref());
        }
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_wins_and_case_does_not_count() {
        let parameters: Parameters =
            [("TimeZone", "UTC"), ("DateStyle", "ISO"), ("timezone", "Europe/Paris")].into_iter().collect();
        assert_eq!(parameters.get(b"TIMEZONE"), Some(&b"Europe/Paris"[..]));
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [b"DateStyle".to_vec(), b"TimeZone".to_vec()]);
    }
}
