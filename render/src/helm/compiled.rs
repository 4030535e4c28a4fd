//! Charts that are rendered more than once: what does not depend on values is done once.
//!
//! Owns parsed templates, compiled schemas, and the bounded store that callers keep between
//! renders. Knows nothing of values. Start at [`CompiledChart::render`] and [`ChartCache`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gotemplate::{MissingKey, Options, Parsed, TemplateSet};

use super::chart::Chart;
use super::documents::KnownFiles;
use super::engine::{ChartRequest, RenderedChart, render_compiled};
use super::error::Error;
use super::functions::registry;
use super::schema::Schema;

/// A chart with its templates parsed and its schemas compiled, each when it is first needed.
///
/// Guarantees: a render gives the same bytes as [`render_chart`](super::render_chart) of the same
/// chart; nothing of one render's values is seen by another.
pub struct CompiledChart {
    chart: Chart,
    /// Holds no template itself; its siblings share compiled programs.
    base: TemplateSet,
    /// By the name that errors show, with the file it was parsed from.
    templates: Mutex<BTreeMap<String, (FileId, Parsed)>>,
    /// By the text of the schema.
    schemas: Mutex<BTreeMap<Arc<Vec<u8>>, Arc<Schema>>>,
    known_files: KnownFiles,
}

/// Which text of the chart: where it is, for it never moves.
type FileId = usize;

impl std::fmt::Debug for CompiledChart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledChart").field("chart", &self.chart.name()).finish_non_exhaustive()
    }
}

impl CompiledChart {
    /// Takes a loaded chart. Templates are parsed by the first render.
    ///
    /// # Errors
    /// None in practice; see [`TemplateSet::new`].
    pub fn new(chart: Chart) -> Result<Self, Error> {
        let options = Options { missing_key: MissingKey::Zero, ..Options::default() };
        let base =
            TemplateSet::new(registry(), options).map_err(|e| Error::Render(e.to_string()))?;
        let (templates, schemas) = (Mutex::default(), Mutex::default());
        Ok(Self { chart, base, templates, schemas, known_files: KnownFiles::default() })
    }

    /// The chart as it was loaded.
    #[must_use]
    pub fn chart(&self) -> &Chart {
        &self.chart
    }

    /// Renders the chart; see [`render_chart`](super::render_chart).
    ///
    /// # Errors
    /// The first thing that is wrong, in Helm's order.
    pub fn render(&self, request: &ChartRequest<'_>) -> Result<RenderedChart, Error> {
        render_compiled(self, request)
    }

    /// A set without templates, to be filled with those of the charts that are switched on.
    pub(super) fn empty_set(&self) -> TemplateSet {
        self.base.sibling()
    }

    /// The templates of a file of this chart. A name stands for another file only when several
    /// charts share an alias and values decide which is on.
    pub(super) fn parse(
        &self,
        name: &str,
        text: &Arc<String>,
    ) -> Result<Parsed, gotemplate::Error> {
        let file = Arc::as_ptr(text).addr();
        if let Some((known, parsed)) = lock(&self.templates).get(name)
            && *known == file
        {
            return Ok(parsed.clone());
        }
        let parsed = self.base.prepare(name, text)?;
        lock(&self.templates).insert(name.to_owned(), (file, parsed.clone()));
        Ok(parsed)
    }

    pub(super) fn known_files(&self) -> &KnownFiles {
        &self.known_files
    }

    pub(super) fn schema(&self, text: &Arc<Vec<u8>>) -> Arc<Schema> {
        if let Some(known) = lock(&self.schemas).get(text) {
            return known.clone();
        }
        let schema = Arc::new(Schema::compile(text));
        lock(&self.schemas).insert(text.clone(), schema.clone());
        schema
    }
}

/// [`String::from_utf8_lossy`], faster where nothing is lost.
pub(super) fn lossy_text(data: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(data).map_or_else(|_| String::from_utf8_lossy(data), Cow::Borrowed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much a [`ChartCache`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Charts.
    pub entries: usize,
    /// Bytes of the files of all charts together. A chart that was rendered takes about six times
    /// as much memory as its files.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { entries: 16, bytes: 4 << 20 }
    }
}

/// Compiled charts by the digest of their content; the one that was not used for longest goes
/// first.
///
/// The caller owns it and chooses the keys: the same key must always mean the same bytes.
#[derive(Debug, Default)]
pub struct ChartCache {
    limits: CacheLimits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
    /// Counts uses; the greatest is the latest.
    now: u64,
}

#[derive(Debug)]
struct Entry {
    chart: Arc<CompiledChart>,
    bytes: usize,
    used: u64,
}

impl ChartCache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, kept: Mutex::default() }
    }

    /// The chart with this key; it is loaded and kept if it is not there. A chart bigger than the
    /// whole cache is given out without being kept, and a failure is never kept.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn get_or_load(
        &self,
        key: &str,
        load: impl FnOnce() -> Result<Chart, Error>,
    ) -> Result<Arc<CompiledChart>, Error> {
        if let Some(known) = self.get(key) {
            return Ok(known);
        }
        // Not locked: two that miss at once load twice, and others do not wait for them.
        let chart = Arc::new(CompiledChart::new(load()?)?);
        self.keep(key, &chart);
        Ok(chart)
    }

    /// How many charts are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.kept).entries.len()
    }

    /// Whether no chart is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, key: &str) -> Option<Arc<CompiledChart>> {
        let mut kept = lock(&self.kept);
        kept.now += 1;
        let now = kept.now;
        let entry = kept.entries.get_mut(key)?;
        entry.used = now;
        Some(entry.chart.clone())
    }

    fn keep(&self, key: &str, chart: &Arc<CompiledChart>) {
        let bytes = chart.chart.bytes();
        if bytes > self.limits.bytes || self.limits.entries == 0 {
            return;
        }
        let mut kept = lock(&self.kept);
        kept.now += 1;
        let entry = Entry { chart: chart.clone(), bytes, used: kept.now };
        let before = kept.entries.insert(key.to_owned(), entry);
        kept.bytes += bytes;
        kept.bytes -= before.map_or(0, |entry| entry.bytes);
        while kept.bytes > self.limits.bytes || kept.entries.len() > self.limits.entries {
            let oldest = kept.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            let gone = kept.entries.remove(&key);
            kept.bytes -= gone.map_or(0, |entry| entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::ChartFile;

    fn chart(bytes: usize) -> Result<Chart, Error> {
        let file = ChartFile { name: "a".to_owned(), data: vec![b'x'; bytes] };
        Ok(Chart { files: Arc::new(vec![file]), ..Chart::default() })
    }

    fn never() -> Result<Chart, Error> {
        Err(Error::NoChartYaml)
    }

    #[test]
    fn a_kept_chart_is_not_loaded_again() {
        let cache = ChartCache::default();
        let first = cache.get_or_load("a", || chart(1)).unwrap();
        let second = cache.get_or_load("a", never).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn the_chart_not_used_for_longest_goes_first() {
        let cache = ChartCache::new(CacheLimits { entries: 2, bytes: 100 });
        for key in ["a", "b", "a", "c"] {
            cache.get_or_load(key, || chart(1)).unwrap();
        }
        assert!(cache.get_or_load("a", never).is_ok());
        assert!(cache.get_or_load("c", never).is_ok());
        assert_eq!(cache.get_or_load("b", never).unwrap_err(), Error::NoChartYaml);
    }

    #[test]
    fn bytes_are_bounded_and_failures_are_not_kept() {
        let cache = ChartCache::new(CacheLimits { entries: 10, bytes: 10 });
        cache.get_or_load("big", || chart(11)).unwrap();
        assert!(cache.is_empty());
        cache.get_or_load("a", || chart(6)).unwrap();
        cache.get_or_load("b", || chart(6)).unwrap();
        assert_eq!(cache.len(), 1);
        assert!(cache.get_or_load("c", never).is_err());
        assert!(cache.get_or_load("c", || chart(1)).is_ok());
    }
}
