@NullMarked
package io.splitcompute.head.model;

import org.jspecify.annotations.NullMarked;
