import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * One text with two parameters, whose values only its asker knows.
 *
 * @param expected of the second column, one for each row
 * @param word where the table is another one for each client: what was joined to its name
 */
record Question(String text, long id, Object value, List<Object> expected, String word) {
    static boolean same(Object seen, Object expected) {
        return seen instanceof byte[] left && expected instanceof byte[] right
                ? Arrays.equals(left, right)
                : Objects.equals(seen, expected);
    }
}
