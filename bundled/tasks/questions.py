"""Everyday questions with a one-word and a one-sentence answer, and lists, for the tasks about style."""

from __future__ import annotations

from dataclasses import dataclass

from bundled.tasks.task import rows


@dataclass(frozen=True)
class Question:
    """A question, its shortest answer and its answer in one sentence."""

    question: str
    word: str
    sentence: str


QUESTIONS = [
    Question(*cells)
    for cells in rows("""
    What do bees make? | Honey | Bees make honey from the nectar of flowers.
    How do I keep bread fresh? | Wrapping | Wrap the loaf in cloth and keep it in a dry, dark box.
    Why is the sky blue? | Scattering | Air scatters blue light more than red light.
    What melts at zero degrees? | Ice | Ice melts into water at zero degrees Celsius.
    How can I sleep better? | Routine | Go to bed at the same hour and leave screens outside.
    Which planet has rings? | Saturn | Saturn has bright rings made of ice and rock.
    What is a haiku? | Poem | A haiku is a short poem of three lines.
    How do plants drink? | Roots | Plants draw water up through their roots.
    What should I cook tonight? | Soup | Cook a lentil soup with carrots and a little cumin.
    Where do penguins live? | Antarctica | Most penguins live on the cold coasts of the south.
    How do I learn chess? | Practice | Learn how the pieces move and play a short game each day.
    What is the fastest land animal? | Cheetah | The cheetah runs faster than any other land animal.
    Why do leaves fall? | Autumn | Trees drop their leaves to save water in the cold months.
    How long does an egg boil? | Eight | A hard egg needs about eight minutes in boiling water.
    What is rust? | Corrosion | Rust is iron that has joined with oxygen and water.
    Who treats sick animals? | Vet | A veterinarian treats animals that are ill or hurt.
    How do I remove a stain? | Soap | Dab the stain with cold water and a little soap.
    What holds a ship in place? | Anchor | A heavy anchor holds the ship to the sea bed.
    Why do we yawn? | Tiredness | We yawn when we are tired or bored, though nobody knows quite why.
    What do caterpillars become? | Butterflies | Caterpillars turn into butterflies or moths.
    How do I save money? | Budget | Write down what you spend and put a part aside each month.
    What is a group of wolves called? | Pack | Wolves live and hunt in a pack.
    Where does coffee grow? | Tropics | Coffee grows on warm hills in the tropics.
    How do I train a puppy? | Patience | Reward the puppy at once when it does what you ask.
    What makes bread rise? | Yeast | Yeast fills the dough with small bubbles of gas.
    Which metal is liquid? | Mercury | Mercury is liquid at room temperature.
    How do I fix a flat tyre? | Patch | Find the hole, clean it and glue a patch over it.
    Why is the sea salty? | Minerals | Rivers wash minerals out of the rocks into the sea.
    What do pandas eat? | Bamboo | Pandas eat bamboo for most of the day.
    How can I calm down? | Breathe | Breathe in slowly, count to four and breathe out again.
    What is paper made of? | Wood | Paper is pressed from the fibres of wood.
    Where is the Eiffel Tower? | Paris | The Eiffel Tower stands in Paris by the river Seine.
    How many legs has a spider? | Eight | A spider has eight legs, two more than an insect.
    What tells the time by the sun? | Sundial | A sundial shows the hour by the shadow of a pin.
    How do I grow tomatoes? | Sunlight | Give them sun, a stake to climb and water every morning.
    Why do cats purr? | Contentment | Cats purr when they are content, and sometimes when they are hurt.
    What is the opposite of north? | South | South lies opposite to north on every compass.
    Which bird cannot fly? | Ostrich | The ostrich cannot fly, but it runs very well.
    How do I write a good letter? | Clearly | Say what you want in the first line and be kind in the last.
    What causes the tides? | Moon | The pull of the moon raises and lowers the sea.
    What do I wear in the snow? | Layers | Wear several thin layers and a coat that stops the wind.
    How do fish breathe? | Gills | Fish take oxygen out of the water with their gills.
    What is the largest ocean? | Pacific | The Pacific is the largest and deepest ocean.
    Why do onions make us cry? | Gas | A cut onion sets free a gas that stings the eyes.
    How do I tie my shoes faster? | Loops | Make two loops, cross them and pull one through.
    What is glass made from? | Sand | Glass is made from sand that is melted with soda and lime.
    Who paints pictures? | Painter | A painter makes pictures with colour on canvas or wood.
    How do I make tea? | Steep | Pour hot water over the leaves and wait three minutes.
    What is the hardest stone? | Diamond | Diamond is harder than any other natural stone.
    When do owls hunt? | Night | Most owls hunt in the quiet of the night.
    How do I find north at night? | Polaris | Look for Polaris, the star above the pole.
    What is a baby goat called? | Kid | A young goat is called a kid.
    Why does metal feel cold? | Conduction | Metal leads the warmth of your hand away quickly.
    Which fruit has its seeds outside? | Strawberry | A strawberry carries its seeds on its skin.
    How do I clean a window? | Vinegar | Wipe it with water and vinegar, then dry it with paper.
    What do I bring to a picnic? | Sandwiches | Bring sandwiches, fruit, a blanket and enough to drink.
    What drives a sailing boat? | Wind | The wind in its sails drives the boat.
    How do I remember names? | Repetition | Say the name aloud twice while you talk.
    Where do camels store fat? | Humps | Camels store fat in their humps.
    What is a desert? | Dryness | A desert is a place where almost no rain falls.
    Why do stars twinkle? | Air | Moving air bends the light of the stars.
    How do I peel garlic quickly? | Crush | Press the clove with the flat of a knife and the skin slips off.
    What sport is played at Wimbledon? | Tennis | Tennis is played on the grass of Wimbledon.
    Which gas do we breathe in? | Oxygen | We need the oxygen in the air we breathe.
    How do I stop hiccups? | Water | Drink a glass of water slowly while holding your breath.
    What do carpenters work with? | Wood | Carpenters saw, plane and join wood.
    Why does popcorn pop? | Steam | Water inside the grain turns to steam and bursts it.
    What is the first meal of the day? | Breakfast | Breakfast is the first meal of the day.
    How do I draw a circle? | Compass | Set the point of a compass and turn its pencil around.
    What season follows winter? | Spring | Spring follows winter and brings the first flowers.
    Which animal builds dams? | Beaver | Beavers build dams out of branches and mud.
    How do I get rid of moths? | Cedar | Put cedar wood or lavender between your clothes.
    What is a violin's bow strung with? | Horsehair | The bow of a violin is strung with horsehair.
    Why do we need vitamins? | Health | The body needs vitamins and cannot make most of them.
    Where does lava come from? | Volcanoes | Lava flows out of volcanoes from deep in the ground.
    How do I cross a busy road? | Carefully | Use the crossing, look both ways and do not run.
    What bakes in an oven? | Bread | Bread, cakes and pies bake in an oven.
    Who steers an aeroplane? | Pilot | A pilot steers the aeroplane with the help of a crew.
    How old is an oak? | Centuries | An oak may live for several centuries.
    What is thunder? | Shockwave | Thunder is the sound of air heated by lightning.
    How do I make friends? | Listening | Ask people about themselves and listen to what they say.
    What colour is an emerald? | Green | An emerald is a green stone.
    Why do birds migrate? | Food | Birds fly south to find food and warmth.
    Which tool drives nails? | Hammer | A hammer drives nails into wood.
    How do I cool my room? | Shade | Close the curtains by day and open the windows at night.
    What is a compass for? | Direction | A compass shows you which way is north.
    How do I whistle? | Pucker | Purse your lips, curl your tongue and blow gently.
    What is between France and Spain? | Pyrenees | The Pyrenees stand between France and Spain.
    Why do dogs wag their tails? | Feeling | Dogs show what they feel with their tails.
    What do you call frozen rain? | Hail | Rain that freezes into lumps is called hail.
    How do I speak in public? | Rehearse | Practise aloud, look at one face and speak slowly.
    Which month has 28 days? | February | February has 28 days in most years.
    What is silk spun by? | Silkworms | Silk is spun by silkworms around themselves.
    How do I plant a tree? | Dig | Dig a wide hole, set the roots in it and water them well.
    Where do potatoes grow? | Underground | Potatoes grow under the ground on thin stems.
    What do I do about a cold? | Rest | Rest, drink warm things and be patient for a week.
    Why is exercise good? | Heart | Exercise makes the heart strong and the mind calm.
    What is a museum for? | Keeping | A museum keeps old and rare things and shows them.
    How do I sharpen a knife? | Whetstone | Draw the blade along a wet stone at a low angle.
    What is the study of stars? | Astronomy | Astronomy is the study of stars and planets.
    """)
]


@dataclass(frozen=True)
class Topic:
    """A thing one may need a list for."""

    topic: str
    items: tuple[str, ...]


TOPICS = [
    Topic(topic, tuple(item.strip() for item in items.split(",")))
    for topic, items in rows("""
    a camping trip | a dry tent, a warm sleeping bag, a lamp with fresh batteries, matches in a tin, a small stove
    a job interview | a clean shirt, two printed copies of your letter, questions of your own, the address, a pen
    painting a room | masking tape, an old sheet for the floor, a wide roller, two coats of paint, open windows
    a long flight | a neck pillow, an empty bottle, a good book, warm socks, ear plugs
    a vegetable garden | loose soil, six hours of sun, a watering can, a low fence, compost
    a new puppy | a soft basket, two bowls, a short lead, a chew toy, a first visit to the vet
    a birthday party | balloons, a cake with candles, a list of games, music, small gifts for guests
    moving house | strong boxes, a thick marker, friends with time, a van, snacks for everyone
    learning the guitar | a tuned instrument, four easy chords, ten minutes a day, a patient teacher, soft strings
    a first aid box | plasters, a clean bandage, tweezers, scissors, disposable gloves
    a winter walk | waterproof boots, a thermos of tea, gloves, a map on paper, a whistle
    a home office | a steady chair, a lamp from the left, a quiet door, a second screen, a plant
    baking bread | strong flour, fresh yeast, warm water, salt, time to rest
    a picnic by the lake | a blanket, cold lemonade, cheese rolls, a frisbee, a bag for litter
    a school exam | sharp pencils, a night of sleep, old exam papers, a watch, a bottle of water
    a bicycle tour | a spare tube, a pump, light clothes, a lock, a rain cape
    a small wedding | a sunny garden, a long table, a fiddler, wild flowers, a short speech
    a fish tank | a filter, clean gravel, a heater, slow fish, water plants
    a book club | one book a month, a round table, biscuits, three good questions, a host
    a blog | one clear subject, short paragraphs, honest pictures, a weekly rhythm, a friendly tone
    a day at the beach | sun cream, a towel, a wide hat, a bucket and spade, plenty of water
    a yard sale | price tags, small change, a folding table, a sign at the corner, an early start
    a healthy lunch | brown rice, green beans, an egg, a handful of nuts, an apple
    a job in a team | clear roles, short meetings, a shared list, honest feedback, a little humour
    a toolbox | a claw hammer, two screwdrivers, pliers, a tape measure, a spirit level
    a rainy Sunday | a jigsaw puzzle, a pot of soup, old films, a pile of letters, a warm bath
    a marathon | good shoes, four months of training, a slow start, water at each stop, a cheering friend
    a science fair | one simple question, a fair test, a clear chart, a notebook, a steady voice
    a new city | a tram ticket, the name of a good bakery, a library card, a park, kind neighbours
    a cheese board | a soft cheese, a hard cheese, dark bread, grapes, fig jam
    a night shift | a light meal, a bright lamp, a short nap, a warm jumper, a colleague to talk to
    a flower shop | cool water, sharp scissors, brown paper, ribbons, a good morning market
    a short film | a script of five pages, one good room, daylight, two actors, a patient editor
    a cold | hot tea, a scarf, tissues, chicken soup, a quiet day
    a balcony in summer | two chairs, herbs in pots, a string of lights, a shade, a small table
    a chess club | ten boards, two clocks, a quiet room, a weekly ladder, coffee
    a music festival | a tent, ear plugs, cash, a meeting point, rain boots
    a budget | a list of bills, a spending diary, one saving goal, a monthly check, a rule for treats
    a fishing trip | a rod, fresh bait, a folding stool, a licence, patience
    a sewing corner | sharp scissors, strong thread, pins in a cushion, a good lamp, an iron
    """)
]
