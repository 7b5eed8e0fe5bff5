"""The intermediate representation: types, ops, text and reference evaluation."""
