@NullMarked
package io.splitcompute.head;

import org.jspecify.annotations.NullMarked;
