/** A model's head: its weights, its tokenizer and the run of its layers. */
@NullMarked
package io.splitcompute.head.model;

import org.jspecify.annotations.NullMarked;
