/** The activations message and the ways it travels. */
@NullMarked
package io.splitcompute.head.message;

import org.jspecify.annotations.NullMarked;
