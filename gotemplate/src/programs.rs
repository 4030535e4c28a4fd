//! Compiled templates: trees, the minijinja programs they are lowered to, and what keeps both.
//!
//! Owns the engine's environment. Knows nothing of running. Start at [`Programs`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::{AutoEscape, Environment};

use crate::ast::Tree;
use crate::error::{Error, ErrorKind};
use crate::lower::{Program, configure, lower};

/// A text's templates, parsed but in no set yet: see [`TemplateSet::prepare`](crate::TemplateSet::prepare).
#[derive(Clone, Debug)]
pub struct Parsed(pub(crate) Arc<[(Arc<str>, Numbered)]>);

/// A tree and its number in the [`Programs`] that compile it.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub tree: Arc<Tree>,
    pub programs: Programs,
    pub number: usize,
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
        configure(&mut env).map_err(|e| engine_error(&e))?;
        env.set_debug(false);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_recursion_limit(usize::MAX / 2);
        env.set_formatter(|out, _, value| {
            // Ops give back finished text.
            out.write_str(value.as_str().unwrap_or_default()).map_err(minijinja::Error::from)
        });
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
        trees.push(tree.clone());
        Numbered { tree, programs: self.clone(), number: trees.len() - 1 }
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
