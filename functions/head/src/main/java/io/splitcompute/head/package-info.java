/** The head function's HTTP side. */
@NullMarked
package io.splitcompute.head;

import org.jspecify.annotations.NullMarked;
