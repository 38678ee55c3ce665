"""The pages: HTML made here, complete without a script; a script of ours only keeps the live ones fresh."""
