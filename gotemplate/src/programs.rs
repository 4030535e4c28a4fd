//! Compiled templates: trees, the minijinja programs they are lowered to, and what keeps both.
//!
//! Owns the engine's environment. Knows nothing of running. Start at [`Programs`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::{AutoEscape, Environment};

use crate::ast::Tree;
use crate::error::{Error, ErrorKind};
use crate::lower::{Program, lower};

/// A text's templates, parsed but in no set yet: see [`TemplateSet::prepare`](crate::TemplateSet::prepare).
#[derive(Clone, Debug)]
pub struct Parsed(pub(crate) Arc<[(Arc<str>, Numbered)]>);

/// A tree and its number in the [`Programs`] that compile it.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub tree: Arc<Tree>,
    pub programs: Programs,
    /// In digits: the name under which the engine knows the program.
    pub number: Arc<str>,
}

/// A minijinja environment that compiles trees when they are first used.
#[derive(Clone)]
pub(crate) struct Programs {
    pub env: Arc<Environment<'static>>,
    trees: Arc<Mutex<Vec<Arc<Tree>>>>,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Programs")
    }
}

impl Programs {
    pub(crate) fn new() -> Result<Self, Error> {
        let trees: Arc<Mutex<Vec<Arc<Tree>>>> = Arc::default();
        let mut env = Environment::empty();
        env.set_debug(false);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_recursion_limit(usize::MAX / 2);
        let source = trees.clone();
        env.set_loader(move |name| {
            let number: usize = name.parse().unwrap_or(usize::MAX);
            let tree = lock(&source).get(number).cloned();
            Ok(tree.map(|tree| program(&tree).source.clone()))
        });
        Ok(Self { env: Arc::new(env), trees })
    }

    pub(crate) fn add(&self, tree: Tree) -> Numbered {
        let tree = Arc::new(tree);
        let mut trees = lock(&self.trees);
        let number = Arc::from(trees.len().to_string());
        trees.push(tree.clone());
        Numbered { tree, programs: self.clone(), number }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn program(tree: &Tree) -> &Program {
    tree.program.get_or_init(|| lower(tree))
}

pub(crate) fn engine_error(error: &minijinja::Error) -> Error {
    Error::new(ErrorKind::Exec, format!("template engine: {error}"))
}
