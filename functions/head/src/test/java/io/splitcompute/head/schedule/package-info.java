@NullMarked
package io.splitcompute.head.schedule;

import org.jspecify.annotations.NullMarked;
