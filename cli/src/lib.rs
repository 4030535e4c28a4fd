//! The fleet command: every process and every tool.
