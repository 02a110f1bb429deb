@NullMarked
package io.splitcompute.head.message;

import org.jspecify.annotations.NullMarked;
