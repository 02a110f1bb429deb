/** The whole cloud in one JVM, for laptops and tests. */
@NullMarked
package io.splitcompute.local;

import org.jspecify.annotations.NullMarked;
